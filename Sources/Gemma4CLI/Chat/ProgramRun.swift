import Foundation
import Media
import Synchronization

/// Runs a program and returns its output as text, with limits on time and size.
enum ProgramRun {
    /// Maximum number of bytes of standard output and standard error that are returned.
    static let outputLimit = 32 << 10
    static let errorLimit = 2 << 10

    /// Stops runs from another thread.
    final class Stop: Sendable {
        private let state = Mutex(false)
        var isSet: Bool { state.withLock { $0 } }
        func set() { state.withLock { $0 = true } }
    }

    /// - Parameters:
    ///   - words: the program, searched on the `PATH`, and its arguments.
    ///   - input: its standard input.
    /// - Returns: its output, or an error message. Blocks until it ends.
    static func result(of words: [String], input: [UInt8], seconds: Double, stop: Stop) -> String {
        var pipes: [(read: Int32, write: Int32)] = []
        ProgramStart.lock.lock()
        while pipes.count < 3, let pipe = ProgramStart.pipe() { pipes.append(pipe) }
        guard pipes.count == 3 else {
            let reason = String(cString: strerror(errno))
            ProgramStart.lock.unlock()
            for pipe in pipes { [pipe.read, pipe.write].forEach { close($0) } }
            return "error: \(words[0]) cannot be started: \(reason)"
        }
        let (child, code) = ProgramStart.spawn(
            words, input: pipes[0].read, output: pipes[1].write, error: pipes[2].write)
        [pipes[0].read, pipes[1].write, pipes[2].write].forEach { close($0) }
        ProgramStart.lock.unlock()
        defer { [pipes[1].read, pipes[2].read].forEach { close($0) } }
        guard code == 0 else {
            close(pipes[0].write)
            return "error: \(words[0]) cannot be started: \(String(cString: strerror(code)))"
        }
        feed(input, pipes[0].write)

        let deadline = ContinuousClock.now + .seconds(seconds)
        var output = Captured(pipes[1].read, limit: outputLimit)
        var errors = Captured(pipes[2].read, limit: errorLimit)
        var status: Int32 = 0
        var hasEnded = false
        var end: String?
        while true {
            output.read()
            errors.read()
            if hasEnded || output.isEnd && errors.isEnd && waitpid(child, &status, WNOHANG) == child { break }
            if waitpid(child, &status, WNOHANG) == child {
                // Its orphaned children may keep the pipes open: only the data already in the pipes is read.
                hasEnded = true
                continue
            }
            if stop.isSet { end = "error: stopped by the user" }
            if ContinuousClock.now > deadline { end = "error: no end after \(Int(seconds)) s" }
            if end != nil {
                kill(-child, SIGKILL)
                while waitpid(child, &status, 0) < 0, errno == EINTR {}
                break
            }
            var states = [output, errors].filter { !$0.isEnd }
                .map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            _ = poll(&states, nfds_t(states.count), 20)
        }
        kill(-child, SIGKILL)  // orphaned children
        if let end { return end }
        let text = output.text
        guard status != 0 else { return text }
        let reason = status & 0x7F == 0 ? "code \(status >> 8 & 0xFF)" : "signal \(status & 0x7F)"
        return
            "error: \(words[0]) ended with \(reason)\n\([errors.text, text].filter { !$0.isEmpty }.joined(separator: "\n"))"
    }

    /// Output of a pipe, read without blocking.
    private struct Captured {
        let descriptor: Int32
        private let limit: Int
        private var bytes: [UInt8] = []
        private var isCut = false
        private(set) var isEnd = false

        init(_ descriptor: Int32, limit: Int) {
            (self.descriptor, self.limit) = (descriptor, limit)
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }

        mutating func read() {
            var buffer = [UInt8](repeating: 0, count: 1 << 14)
            // Bounded, so that the deadline is checked even if the program writes endlessly.
            for _ in 0..<16 {
                let count = Foundation.read(descriptor, &buffer, buffer.count)
                if count == 0 { isEnd = true }
                if count < 0, errno != EAGAIN, errno != EINTR { isEnd = true }
                guard count > 0 else { return }
                let room = limit - bytes.count
                bytes += buffer[..<min(count, room)]
                isCut = isCut || count > room
            }
        }

        var text: String {
            let text = String(decoding: bytes, as: UTF8.self)
            let end = text.lastIndex { !$0.isNewline }.map(text.index(after:)) ?? text.startIndex
            return text[..<end] + (isCut ? "\n[cut after \(limit) bytes]" : "")
        }
    }

    /// Writes the input on a background thread, whether or not the program reads it, and closes the pipe. Blocks
    /// `SIGPIPE`, which would kill this process.
    private static func feed(_ input: [UInt8], _ descriptor: Int32) {
        Thread.detachNewThread {
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            var written = 0
            while written < input.count {
                let count = input[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                guard count > 0 || errno == EINTR else { break }
                written += max(0, count)
            }
            close(descriptor)
        }
    }
}
