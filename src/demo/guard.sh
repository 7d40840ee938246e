# Becomes the server (so that its parent is dunlin), with a guard beside it that holds the read
# end of a pipe to dunlin. When dunlin dies, even by SIGKILL, the pipe closes: the guard stops
# the server and removes its folder. A line on the pipe lets the guard go.
#
# Arguments: the folder to remove ("" keeps it), then the server's command.
folder=$1
shift
exec 3<&0 </dev/null
(
    (
        if ! read -r line <&3; then
            kill -s QUIT $$
            tries=0
            while kill -s 0 $$ 2>/dev/null && [ $tries -lt 100 ]; do
                sleep 0.1
                tries=$((tries + 1))
            done
            [ -z "$folder" ] || rm -rf "$folder"
        fi
    ) &
)
exec 3<&-
exec "$@"
