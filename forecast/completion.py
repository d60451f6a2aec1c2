"""Tab completion for bash, zsh and fish: commands from the folder, keys and parts from Hydra, about a second a tab.

The shells hand over the words before the cursor, the last of them unfinished, and are told what it may become.
"""

import os
import re
from collections.abc import Sequence

SCRIPTS = {
    "bash": """\
_forecast() {
    local line=${COMP_LINE:0:COMP_POINT}
    local word=${line##* }
    COMPREPLY=($(compgen -W "$(forecast --complete "$line" 2>/dev/null)" -- "$word"))
    [[ ${COMPREPLY[*]} == *[=.] ]] && compopt -o nospace 2>/dev/null
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    return 0
}
complete -o default -F _forecast forecast
""",
    "zsh": """\
_forecast() {
    local -a found=(${=$(forecast --complete "${words[1,CURRENT]}" 2>/dev/null)})
    compadd -S '' -- ${(M)found:#*[=.]}
    compadd -- ${found:#*[=.]}
    [[ -n $found ]] || { compset -P '*='; _files }
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _forecast forecast
""",
    "fish": """\
function __forecast
    forecast --complete (commandline -cp | string collect) 2>/dev/null | string split ' '
end
complete -c forecast -f -a '(__forecast)'
""",
}


def complete(line: str, commands: Sequence[str]) -> int:
    """Prints what the last word of a line may become; of a command's keys Hydra does so. Returns the exit code."""
    _, *words = re.split(r" +", line.lstrip())
    if len(words) < 2:
        print(*(name for name in commands if name.startswith("".join(words))))
        return 0
    command, *chosen, word = words
    if command not in commands or word.startswith("-"):
        return 0
    from forecast.run import run

    parts = [
        x for x in chosen if re.fullmatch(r"[a-z/]+=\w+", x)
    ]  # which parts are chosen decides which keys there are
    os.environ["COMP_LINE"] = " ".join(["forecast", *parts, word])
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    return run(command, ["-sc", "query=bash"])
