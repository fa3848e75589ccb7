#!/usr/bin/env bash
# Write the comment of a pull request, and the picture of its changed predictions, into a folder.
#   bash .github/compare.sh BASE HEAD FOLDER
# A commit whose results cannot be compared (other test data, no predictions) gets a comment that says why.
set -euo pipefail
base=$1 head=$2 folder=$3
PATH="$PWD/.venv/bin:$PATH"
mkdir -p "$folder"
rm -f "$folder/comment.md" "$folder/changes.png"
table=$(mktemp) problem=$(mktemp)
trap 'rm -f "$table" "$problem"' EXIT
{
    echo "<!-- mnist compare -->"
    if mnist compare "$base" "$head" --md > "$table" 2> "$problem"; then
        # The names of the commits are long; ten letters are enough for a reader.
        sed -e "s/$base/${base:0:10}/g" -e "s/$head/${head:0:10}/g" "$table"
        if mnist compare "$base" "$head" --figure "$folder/changes.png" > /dev/null 2>&1; then
            echo
            echo "The changed predictions are drawn in the artifact *comparison* of this run."
        fi
    else
        echo "The results of ${base:0:10} and ${head:0:10} cannot be compared:"
        echo
        head -c 4000 "$problem" | sed -e 's/^/    /'
    fi
} > "$folder/comment.md"
