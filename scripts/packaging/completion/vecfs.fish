# Completion for fish of vecfs.

set -l commands mkfs import export check wal recover compress stat
set -l mounting "not __fish_seen_subcommand_from $commands"
set -l sizes '4K 8K 16K 32K 64K'

# Options between commas, behind -o.
function __vecfs_mount_options
    set -l word (commandline -ct)
    set -l before (string match -r '^.*,' -- $word)
    for option in dim= metric={cosine,l2,ip} cache={auto,64M,256M,1G,4G} durability={log,close,none} effort= \
            threads= code-bits={auto,1,2,4,8} ro recover=prefix allow_other default_permissions nofail
        echo $before$option
    end
end

complete -c vecfs -n __fish_use_subcommand -a mkfs -d 'create an empty store'
complete -c vecfs -n __fish_use_subcommand -a import -d 'load files of many vectors'
complete -c vecfs -n __fish_use_subcommand -a export -d 'write all vectors into a file'
complete -c vecfs -n __fish_use_subcommand -a check -d 'verify everything in a store'
complete -c vecfs -n __fish_use_subcommand -a wal -d 'list and verify the log of a store'
complete -c vecfs -n __fish_use_subcommand -a recover -d 'save what can be read of a damaged store'
complete -c vecfs -n __fish_use_subcommand -a compress -d 'write a store compactly into a new one'
complete -c vecfs -n __fish_use_subcommand -a stat -d 'dimension, metric, counts, sizes'

complete -c vecfs -n $mounting -s f -d 'stay in the foreground'
complete -c vecfs -n $mounting -s d -d 'print each request'
complete -c vecfs -n $mounting -s s -d 'serve one request at a time'
complete -c vecfs -n $mounting -s o -x -a '(__vecfs_mount_options)' -d 'mount options'
complete -c vecfs -n $mounting -l dim -x -d 'numbers in a vector'
complete -c vecfs -n $mounting -l metric -x -a 'cosine l2 ip' -d distance
complete -c vecfs -n $mounting -l cache -x -a 'auto 64M 256M 1G 4G' -d 'bound of the page cache'
complete -c vecfs -n $mounting -l durability -x -a 'log close none' -d 'when a write survives a power cut'
complete -c vecfs -n $mounting -l effort -x -d 'candidates a search keeps'
complete -c vecfs -n $mounting -l threads -x -d 'search and index workers'
complete -c vecfs -n $mounting -l code-bits -x -a 'auto 1 2 4 8' -d 'bits a number takes to steer a search'
complete -c vecfs -n $mounting -l ro -d read-only
complete -c vecfs -n $mounting -l recover -x -a prefix -d 'with ro, serve the intact beginning of a damaged log'
complete -c vecfs -n $mounting -l version -d 'print the version'
complete -c vecfs -l help -d 'print the usage'

complete -c vecfs -n '__fish_seen_subcommand_from mkfs' -l dim -x -d 'numbers in a vector'
complete -c vecfs -n '__fish_seen_subcommand_from mkfs' -l metric -x -a 'cosine l2 ip' -d distance
complete -c vecfs -n '__fish_seen_subcommand_from mkfs compress' -l page-size -x -a $sizes -d 'bytes of a page'
complete -c vecfs -n '__fish_seen_subcommand_from import' -l ids -r -d 'a line for each row, its id'
complete -c vecfs -n '__fish_seen_subcommand_from export' -l force -d overwrite
for letter in a p y n f
    complete -c vecfs -n '__fish_seen_subcommand_from check' -s $letter -d 'of fsck, changes nothing'
end

complete -c mkfs.vecfs -l dim -x -d 'numbers in a vector'
complete -c mkfs.vecfs -l metric -x -a 'cosine l2 ip' -d distance
complete -c mkfs.vecfs -l page-size -x -a $sizes -d 'bytes of a page'
complete -c mkfs.vecfs -l help -d 'print the usage'
for letter in a p y n f
    complete -c fsck.vecfs -s $letter -d 'of fsck, changes nothing'
end
complete -c fsck.vecfs -l help -d 'print the usage'
