"""`persona completion`: scripts that let a shell complete commands and options."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes persona's commands and options in a shell.

    \b
    bash  add to ~/.bashrc:  eval "$(persona completion bash)"
    zsh   add to ~/.zshrc:   eval "$(persona completion zsh)"
    fish  persona completion fish > ~/.config/fish/completions/persona.fish
    """
    from click.shell_completion import get_completion_class

    from persona.program import COMPLETE, root

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, "persona", COMPLETE).source())
