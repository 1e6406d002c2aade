/// Why a picture or a recording could not be read: where, what was expected, what was found, what to do.
public struct MediaError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: Sendable {
        /// The file cannot be opened or read.
        case unreadable
        /// There are no bytes, or a recording without a sample.
        case empty
        /// Another format, or a kind of this format that is not read.
        case unsupported
        /// The data ends before what its header announces.
        case truncated
        /// The data contradicts its format.
        case malformed
        /// More pixels, samples, channels or hertz than this reader accepts.
        case tooLarge
        /// The memory for a picture of an accepted size is not there.
        case outOfMemory
        /// A program that reads this format is not installed.
        case missingProgram
    }

    public let code: Code
    /// The path, or the name the caller gave to the bytes. `description` shows it without control characters.
    public let source: String
    public let expected: String
    public let found: String
    public let remedy: String

    public init(code: Code, source: String, expected: String, found: String, remedy: String) {
        self.code = code
        self.source = source
        self.expected = expected
        self.found = found
        self.remedy = remedy
    }

    public var description: String { "\(source.displayed): expected \(expected), found \(found); \(remedy)." }
}
