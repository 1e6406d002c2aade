import Foundation
import Synchronization

/// A file descriptor that takes bytes, unbuffered: a token shows as soon as it is there.
struct ByteSink: Sendable {
    static let standardOutput = ByteSink(descriptor: STDOUT_FILENO, name: "standard output")
    static let standardError = ByteSink(descriptor: STDERR_FILENO, name: "standard error")

    let descriptor: Int32
    let name: String
    /// What is written waits until this comes; nil: it does not wait.
    private(set) var turn: Turn?

    init(descriptor: Int32, name: String) { (self.descriptor, self.name) = (descriptor, name) }

    /// The same, but what is written waits for `turn`.
    func inTurn(_ turn: Turn) -> ByteSink {
        var sink = self
        sink.turn = turn
        return sink
    }

    var isTerminal: Bool { isatty(descriptor) == 1 }

    /// Whether it is a terminal that can erase a line.
    var erasesLines: Bool { isTerminal && ProcessInfo.processInfo.environment["TERM"] != "dumb" }

    /// How many columns the terminal has; 80 if it does not say.
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

    /// A message in a line of its own, over what a progress line left there. Nobody is left to tell if it cannot be shown.
    /// Whatever names are in it, a terminal obeys none of them.
    func report(_ message: String) {
        try? write("\(erasesLines ? ProgressLine.eraseLine : "")gemma4: \(message.displayedLines)\n")
    }
}

/// The order of what several files, worked on at once, have to say: what one writes before its turn comes is held back.
final class Turn: Sendable {
    private let state = Mutex((isOpen: false, held: [@Sendable () throws(CommandError) -> Void]()))

    /// Whether it has come: what is written now shows at once.
    var isOpen: Bool { state.withLock { $0.isOpen } }

    /// Writes what has been held back, and from now on holds back nothing.
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

    /// Does something now, or, before its turn, when that comes.
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
    /// Gives the places of standard streams that are closed to a device that can be neither read nor written, so that no file
    /// gets them, to have messages and results written into it.
    static func keepPlaces() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest free place, which is this one.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
        }
    }
}

/// What "-" stands for among the inputs.
enum StandardInput {
    static let argument = "-"
    static let name = "standard input"

    /// Everything up to the end.
    ///
    /// - Throws: `CommandError`.
    static func readAll() throws(CommandError) -> Data {
        do {
            return try FileHandle.standardInput.readToEnd() ?? Data()
        } catch {
            throw CommandError(.unreadable(reason: error.localizedDescription), name)
        }
    }

    /// Everything up to the end, as text.
    ///
    /// - Throws: `CommandError`, also if it is not UTF-8.
    static func readText() throws(CommandError) -> String {
        guard let text = String(validating: try readAll(), as: UTF8.self) else { throw CommandError(.notUTF8, name) }
        return text
    }
}
