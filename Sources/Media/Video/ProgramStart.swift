import Foundation

/// How programs are started: by `posix_spawn`, since Foundation's `Process` needs dozens of file descriptors, and traps where
/// there are too few.
package enum ProgramStart {
    /// Held from the first pipe to the spawn: a program that another thread starts meanwhile would inherit the ends of pipes
    /// that are not marked yet, and hold them open.
    package static let lock = NSLock()

    /// Closed in programs that are started. Nil with `errno` set if there are too many open files.
    package static func pipe() -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [0, 0]
        guard Foundation.pipe(&ends) == 0 else { return nil }
        ends.forEach { _ = fcntl($0, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// In a process group of its own, so that Ctrl-C is ours alone, and all of it can be ended.
    ///
    /// - Parameters:
    ///   - words: the program, looked for on the `PATH` unless it is a path, and its arguments.
    ///   - input: its standard input; nil is `/dev/null`.
    /// - Returns: the process, and 0 or the error for which there is none.
    package static func spawn(
        _ words: [String], input: Int32?, output: Int32, error: Int32
    ) -> (child: pid_t, code: Int32) {
        #if canImport(Darwin)
            var actions: posix_spawn_file_actions_t?
            var attributes: posix_spawnattr_t?
        #else
            var actions = posix_spawn_file_actions_t()
            var attributes = posix_spawnattr_t()
        #endif
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO)
        // What we ignore or block it would ignore or block too.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { sigaddset(&signals, number) }
        posix_spawnattr_setsigdefault(&attributes, &signals)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var pointers = words.map { strdup($0) } + [nil]
        defer { pointers.forEach { free($0) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, words[0], &actions, &attributes, &pointers, environ)
        return (child, code)
    }
}
