"""Lists of words that decide whether a capitalised word is a person's name."""

_GIVEN = """
    aaron abdul mia milan dana nadja abigail adam adrian agnes ahmed aisha alan albert alejandro
    alessandra alessandro alex alexander alexandra alfred ali alice alicia alina alison amanda
    amelia amir amy ana andre andrea andreas andreea andrew andré angela angelika anita anja
    anke ann anna anne anneke annette antje anton antonia antonio anya arjun arne arthur aylin
    ayşe barbara beate beatrice ben benjamin bernd bernhard beth bettina birgit björn bob boris
    brenda brian britta bruno camille carla carlos carmen carol carolin caroline catherine cem
    charlotte chiara chloe chloé chris christa christian christiane christina christine
    christoph christopher claire clara claudia claus clément cornelia craig cristina daniel
    daniela david deborah debra denise dennis derek diana diego dieter dirk dmitri dominik
    donald doris dorothea dorothy edith eduardo edward eileen elaine elena eleni elif elisa
    elisabeth elizabeth elke ella ellen elsa emil emily emine emma eric erik erika erwin esra
    esther eva evelyn fabian fatima fatma felix fernando fiona florian francesca francesco
    francis frank franz franziska françois freya frida friedrich fritz gabriel gabriela gabriele
    gareth gemma georg george gerald gerd gerhard gisela giulia giuseppe graham greta guido
    gustav günter günther hanna hannah hannes hans harald harry hassan heike heiko heinrich
    heinz helen helena helga henning henri henrik henry herbert hildegard hiroshi holger horst
    hugo ian ibrahim igor ines inga inge ingo ingrid irene irina isabel isabella isabelle ivan
    jakob james jamal jan jana jane janet janice jasmin jason javier jean jeff jennifer jens
    jessica jim joachim joan joana joanna jochen joe johan johann johanna johannes john jonas
    jonathan joost jorge josef joseph josé joyce joão juan judith judy julia julian julie jutta
    jörg jürgen kai karen karin karina karl karla karsten katarina kate katharina katherine
    kathleen kathrin katja katrin keith kelly kemal ken kenneth kerstin kevin kim klara klaus
    kofi konrad kristin kurt kwame lara lars laura lauren lea leah leila lena leo leon leonie
    leyla liam lina linda lisa louis louise luca lucas lucia lucy luigi luis luise lukas luke
    lynn léa magdalena maik malte manfred manuel manuela marc marcel marco marcus mareike
    margaret margarete margit maria marie mariam marina mario marion marius marlene marta martha
    martin martina mary maría maryam mateo mathias mats matteo matthew matthias maximilian
    mehmet mei melanie melissa michael michaela michelle miguel mika mike milena miriam mohamed
    mohammed monica monika moritz murat mustafa nadia nadine nadja nancy natalie natasha nathan
    nele niamh nicholas nicola nicolas nicole niels nikita nikolai nils nina noah nora norbert
    olaf oleg olga oliver olivia omar oskar otto pablo paolo pascal patricia patrick paul paula
    pauline paulo pedro peter petra philip philipp philippe pierre pieter priya rachel rafael
    ralf ralph ravi rebecca regina reinhard renate rené richard rita robert roberto robin roger
    roland rolf ronald rosa rosemary rudolf ruth ryan sabine sabrina saida samira samuel sandra
    sanjay sara sarah sascha scott sean sebastian selin sergio sharon sibylle siegfried sigrid
    silke silvia simon simone siobhan sofia sofie sonia sonja sophia sophie stefan stefanie
    steffen stella stephan stephanie stephen steve steven stuart susan susanna susanne sven
    svenja svetlana sylvia sönke tamara tanja tanya tatjana teresa thea theo theresa thomas
    thorsten tim timo tina tobias tom tomás toni tony torsten ulf ulrich ulrike ursula ute uwe
    valentina valerie vanessa vera verena veronika victor victoria viktor viktoria vincent viola
    vladimir volker walter waltraud werner wiebke wilhelm william wolfgang xavier yasemin yasmin
    yusuf yuki yvonne zainab zoe zoë élodie émilie
"""

_ALSO_WORDS = """
    abby amber angel april art august autumn baker bank banks bay bell berg berry bill bishop
    black blue booth braun brook brooks brown buck bush butler cash chance chase china chip
    christian church clay cliff cole cook crystal daisy dale dawn day dean dick don dot drew
    duke earl earth eden engel ernst eve faith fall fern field fields finch fisher fischer flora
    ford forest fox frank franklin gale garden gardener gene ginger glen golden good grace grant
    gray green grey groß grove gut guy hall haas hardy harmony hart hazel heath heather heaven
    hell herz hill hoffnung holly homes honor hope house hunter iris ivy jack jade january jay
    jewel johnny joy june jung jäger july kaiser keller king klein knight koch kraft kurz könig
    lane lang lange lee lily little london long love mai mark marks marsh mason may meadow
    melody mercy mercedes meyer miles mill mills miller moon morgan müller nick noble north
    olive page paris park parker parks pat patience paz pearl penny phoenix piper pool poppy
    post pound powers prairie price prince queen rain rainer ray reed rich richter rider ring
    river rivers rob robin rock rocky rose roth rowan ruby rusty sage sandy savannah schmied
    schneider schwarz shepherd short singer sky skip smith snow sommer sonne south spring star
    stark stein sterling stone storm stout street strong sue summer sunny sunday swift tanner
    taylor thorn trinity turner valley violet vogel wade walker wall ward warren water waters
    weaver weber weiß wells west white wild will willow winter wise wolf wood woods yann young
    zimmermann
"""

_NOT_AFTER_I_AM = """
    african american argentinian asian australian austrian bavarian belgian brazilian british
    bulgarian canadian catalan catholic chilean chinese christian colombian croatian cuban czech
    danish dutch egyptian english ethiopian european filipino finnish french german ghanaian
    greek hindu hungarian indian indonesian iranian iraqi irish israeli italian jamaican
    japanese jewish kenyan korean latina latino lebanese lutheran malaysian mexican moroccan
    muslim nepali nigerian norwegian orthodox pakistani palestinian peruvian polish portuguese
    protestant romanian russian scottish serbian slovak slovenian somali spanish swedish swiss
    syrian taiwanese thai tunisian turkish ukrainian venezuelan vietnamese welsh buddhist sikh
    gen head director manager senior junior chief lead mum mom dad doctor nurse teacher sorry
    fine glad happy sure afraid monday tuesday wednesday thursday friday saturday sunday january
    february march april may june july august september october november december christmas
    easter god google facebook amazon apple microsoft product project marketing software account
    sales data hr it ux customer support instagram whatsapp tiktok netflix excel hallo hello hi
    hey thanks thank good welcome great danke bonjour merci hola gracias ciao grazie sure right
    yes ja nein oui non sí
"""

_NOT_IN_FILE_NAMES = """
    answers audio autumn batch chat comments copy csv data day draft english export fall
    feedback female final focus form german group heft html interview interviews int iv january
    february march april may june july august september october november december male meeting
    minutes morning notes notizen part participant people pilot proband project protokoll q1 q2
    q3 q4 questions raw recording redacted research responses results round sample session
    spring subject summer summary survey team teil test text transcript transcripts transkript
    transkripte txt user users version video wave week winter word zoom
"""

GIVEN = frozenset(_GIVEN.split())
"""Common given names in lower case: where only the word itself can tell that it is a name."""
ALSO_WORDS = frozenset(_ALSO_WORDS.split())
"""Names that are words too: at the beginning of a sentence their capital says nothing."""
NOT_AFTER_I_AM = frozenset(_NOT_AFTER_I_AM.split())
"""What follows `I'm` or a greeting with a capital without being a name."""
NOT_IN_FILE_NAMES = frozenset(_NOT_IN_FILE_NAMES.split())
"""What follows a given name in a file's name without being the surname."""
PARTICLES = frozenset("van von de der den del da di la le zu bin al el ten ter dos du y of".split())  # noqa: SIM905
