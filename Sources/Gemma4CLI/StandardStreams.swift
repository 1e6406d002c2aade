import Foundation

/// A file descriptor that takes bytes, unbuffered: a token shows as soon as it is there.
struct ByteSink: Sendable {
    static let standardOutput = ByteSink(descriptor: STDOUT_FILENO, name: "standard output")
    static let standardError = ByteSink(descriptor: STDERR_FILENO, name: "standard error")

    let descriptor: Int32
    let name: String

    var isTerminal: Bool { isatty(descriptor) == 1 }

    /// - Throws: `CommandError` with the system's reason.
    func write(_ bytes: some Collection<UInt8>) throws(CommandError) {
        let bytes = Array(bytes)
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
    func report(_ message: String) { try? write("\(isTerminal ? ProgressLine.eraseLine : "")gemma4: \(message)\n") }
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
