import Foundation

/// Starts programs with `posix_spawn`, because Foundation's `Process` needs dozens of file descriptors, and traps if
/// too few are left.
package enum ProgramStart {
    /// Held from the first pipe to the spawn: a program started by another thread meanwhile would inherit the pipe ends
    /// that are not marked close-on-exec yet, and keep them open.
    package static let lock = NSLock()

    /// A pipe with close-on-exec ends. Nil with `errno` set if too many files are open.
    package static func pipe() -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [0, 0]
        guard Foundation.pipe(&ends) == 0 else { return nil }
        ends.forEach { _ = fcntl($0, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Spawns the program in a new process group, so that Ctrl-C reaches only this process, and the whole group can be
    /// killed.
    ///
    /// - Parameters:
    ///   - words: the program, searched on the `PATH` unless it is a path, and its arguments.
    ///   - input: its standard input; nil is `/dev/null`.
    /// - Returns: the process id, and 0 or the error code of the spawn.
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
        // The child would inherit our ignored and blocked signals.
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
