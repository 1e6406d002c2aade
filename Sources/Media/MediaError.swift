/// Why an image or a recording could not be read: where, expected, found, remedy.
public struct MediaError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of error it is.
    public enum Code: Sendable {
        /// The file cannot be opened or read.
        case unreadable
        /// The file is empty, or the recording has no sample.
        case empty
        /// Another format, or an unsupported kind of this format.
        case unsupported
        /// The data ends before what its header announces.
        case truncated
        /// The data contradicts its format.
        case malformed
        /// More pixels, samples, channels or hertz than this reader accepts.
        case tooLarge
        /// Not enough memory for an image of an accepted size.
        case outOfMemory
        /// A program that decodes this format is not installed.
        case missingProgram
    }

    /// What kind of error it is.
    public let code: Code
    /// The path, or the name the caller gave to the bytes. `description` shows it without control characters.
    public let source: String
    /// What would have been right.
    public let expected: String
    /// What is there.
    public let found: String
    /// What helps.
    public let remedy: String

    /// An error about a file or stream.
    public init(code: Code, source: String, expected: String, found: String, remedy: String) {
        self.code = code
        self.source = source
        self.expected = expected
        self.found = found
        self.remedy = remedy
    }

    /// The sentence that names source, expected, found and remedy.
    public var description: String { "\(source.displayed): expected \(expected), found \(found); \(remedy)." }
}
