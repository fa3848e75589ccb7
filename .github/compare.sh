#!/usr/bin/env bash
# Write the comment of a pull request, and the picture of its changed predictions, into a folder.
#   bash .github/compare.sh BASE HEAD FOLDER
# A commit whose results cannot be compared (other test data, no predictions) gets a comment that says why.
set -euo pipefail
base=$1 head=$2 folder=$3
PATH="$PWD/.venv/bin:$PATH"
mkdir -p "$folder"
{
    echo "<!-- mnist compare -->"
    if mnist compare "$base" "$head" --md --figure "$folder/changes.png" > "$folder/table.md" 2> "$folder/problem.txt"; then
        # The names of the commits are long; a comment is read by their first letters.
        sed -e "s/$base/${base:0:10}/g" -e "s/$head/${head:0:10}/g" "$folder/table.md"
        echo
        echo "The changed predictions are drawn in the artifact *comparison* of this run."
    else
        echo "The results of ${base:0:10} and ${head:0:10} cannot be compared:"
        echo
        sed -e 's/^/    /' "$folder/problem.txt" | head -c 4000
    fi
} > "$folder/comment.md"
rm -f "$folder/table.md" "$folder/problem.txt"
