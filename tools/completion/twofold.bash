# bash completion for twofold. It asks the model for names of signatures, arguments and results.

_twofold_names() {  # MODEL WHAT: names of signatures, arguments or results
  twofold inspect "$1" --json 2>/dev/null | python3 -c '
import json, sys
what = sys.argv[1]
for s in json.load(sys.stdin)["signatures"]:
    print(*([s["name"]] if what == "signatures" else [v["name"] for v in s[what]]), sep="\n")' "$2" 2>/dev/null | sort -u
}

_twofold() {
  local cur prev model='' command='' word i
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD-1]}
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ -z $command && $word != -* ]]; then
      command=$word
    elif [[ $word == *.safetensors && -z $model && -f $word ]]; then
      model=$word
    fi
  done
  COMPREPLY=()
  if [[ -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'run inspect bench convert devices version --help --version' -- "$cur")
    return
  fi
  case $prev in
    --signature|-s)
      mapfile -t COMPREPLY < <(compgen -W "$(_twofold_names "$model" signatures)" -- "$cur")
      return ;;
    --fetch)
      mapfile -t COMPREPLY < <(compgen -W "$(_twofold_names "$model" results)" -- "$cur")
      return ;;
    --feed|-f)
      mapfile -t COMPREPLY < <(compgen -S = -W "$(_twofold_names "$model" arguments)" -- "$cur")
      compopt -o nospace
      return ;;
    --graph)
      mapfile -t COMPREPLY < <(compgen -W 'text dot' -- "$cur")
      return ;;
    --device)
      mapfile -t COMPREPLY < <(compgen -W '/cpu:0 /gpu:0' -- "$cur")
      return ;;
  esac
  if [[ $cur == -* ]]; then
    local options='--help'
    case $command in
      run) options+=' --signature --feed --fetch --output --device --repeat --save --no-optimize' ;;
      inspect) options+=' --graph --signature --json' ;;
      bench) options+=' --signature --feed --batch --calls --seed --device --ledger' ;;
      convert) options+=' --output --signature' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    return
  fi
  [[ $command == devices || $command == version ]] && return
  compopt -o filenames
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

complete -F _twofold twofold
