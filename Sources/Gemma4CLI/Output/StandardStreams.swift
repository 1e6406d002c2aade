import Foundation
import Synchronization

/// A file descriptor for unbuffered output: a token is visible as soon as it is written.
struct ByteSink: Sendable {
    static let standardOutput = ByteSink(descriptor: STDOUT_FILENO, name: "standard output")
    static let standardError = ByteSink(descriptor: STDERR_FILENO, name: "standard error")

    let descriptor: Int32
    let name: String
    /// Output is held back until this turn begins; nil: it is not held back.
    private(set) var turn: Turn?

    init(descriptor: Int32, name: String) { (self.descriptor, self.name) = (descriptor, name) }

    /// The same sink, with output held back until `turn` begins.
    func inTurn(_ turn: Turn) -> ByteSink {
        var sink = self
        sink.turn = turn
        return sink
    }

    var isTerminal: Bool { isatty(descriptor) == 1 }

    /// Whether it is a terminal that can erase a line.
    var erasesLines: Bool { isTerminal && ProcessInfo.processInfo.environment["TERM"] != "dumb" }

    /// Number of columns of the terminal; 80 if unknown.
    var columns: Int {
        var size = winsize()
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    /// - Throws: `CommandError` with the system's reason.
    func write(_ bytes: some Collection<UInt8>) throws(CommandError) {
        let bytes = Array(bytes)
        guard let turn else { return try writeNow(bytes) }
        try turn.perform { () throws(CommandError) in try writeNow(bytes) }
    }

    fileprivate func writeNow(_ bytes: [UInt8]) throws(CommandError) {
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                written += count
            } else if errno != EINTR {
                throw CommandError(.cannotWrite(reason: String(cString: strerror(errno))), name)
            }
        }
    }

    func write(_ text: String) throws(CommandError) { try write(text.utf8) }

    /// Prints a message on a separate line, replacing a progress line. Write errors are ignored. Control characters in
    /// names are escaped.
    func report(_ message: String) {
        try? write("\(erasesLines ? ProgressLine.eraseLine : "")gemma4: \(message.displayedLines)\n")
    }
}

/// The order of output of files that are processed concurrently: output before a file's turn is held back.
final class Turn: Sendable {
    private let state = Mutex((isOpen: false, held: [@Sendable () throws(CommandError) -> Void]()))

    /// Whether the turn has begun: output is written immediately.
    var isOpen: Bool { state.withLock { $0.isOpen } }

    /// Begins the turn: writes the output that was held back.
    ///
    /// - Throws: `CommandError` if it cannot be written.
    func begin() throws(CommandError) {
        let result = state.withLock { state -> Result<Void, CommandError> in
            state.isOpen = true
            defer { state.held = [] }
            do throws(CommandError) {
                for action in state.held { try action() }
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// Performs an action now, or when the turn begins.
    func perform(_ action: @escaping @Sendable () throws(CommandError) -> Void) throws(CommandError) {
        if !holds(action) { try action() }
    }

    private func holds(_ action: @escaping @Sendable () throws(CommandError) -> Void) -> Bool {
        state.withLock { state in
            if !state.isOpen { state.held.append(action) }
            return !state.isOpen
        }
    }
}

enum StandardStreams {
    /// Opens an unusable device on standard descriptors that are closed, so that no other file gets them and receives
    /// messages or results.
    static func keepPlaces() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // `open` returns the lowest free descriptor, which is this one.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}

/// The argument for standard input.
enum StandardInput {
    static let argument = "-"
    static let name = "standard input"

    /// Reads to the end of the input.
    ///
    /// - Throws: `CommandError`.
    static func readAll() throws(CommandError) -> Data {
        do {
            return try FileHandle.standardInput.readToEnd() ?? Data()
        } catch {
            throw CommandError(.unreadable(reason: error.localizedDescription), name)
        }
    }

    /// Reads to the end of the input, as text.
    ///
    /// - Throws: `CommandError`, also if it is not UTF-8.
    static func readText() throws(CommandError) -> String {
        guard let text = String(validating: try readAll(), as: UTF8.self) else { throw CommandError(.notUTF8, name) }
        return text
    }
}
