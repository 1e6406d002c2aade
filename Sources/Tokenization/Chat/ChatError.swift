/// An invalid conversation: message, key, expected, found, remedy.
public struct ChatError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of error it is.
    public enum Code: Sendable, Hashable {
        /// The text is not valid JSON; `key` holds line and column.
        case invalidJSON
        case missingKey
        /// A value has the wrong type for its key.
        case invalidValue
        case unknownRole
        /// An unknown key that holds data.
        case unknownKey
        /// There is no text to continue.
        case nothingToContinue
        case unknownPartType
        /// A part, message or value that the checkpoint's generation of the format cannot represent.
        case notInThisFormat
        /// A tool declaration that cannot be rendered.
        case invalidTool
        /// The tokenizer lacks a control token that the format needs.
        case missingToken
    }

    /// What kind of error it is.
    public let code: Code
    /// Index of the message in the conversation, from 0; nil if the error is outside the messages.
    public let message: Int?
    /// Path of keys within the message, the tool or the file.
    public let key: String
    /// What would have been right.
    public let expected: String
    /// What is there.
    public let found: String
    /// What helps; nil if nothing is known to.
    public let remedy: String?

    init(_ code: Code, message: Int? = nil, key: String, expected: String, found: String, remedy: String? = nil) {
        self.code = code
        self.message = message
        self.key = key
        self.expected = expected
        self.found = found
        self.remedy = remedy
    }

    /// The sentence that names place, expected, found and remedy.
    public var description: String {
        let place = message.map { key.isEmpty ? "messages[\($0)]" : "messages[\($0)].\(key)" } ?? key
        return "\(place): expected \(expected), found \(found)." + (remedy.map { " " + $0 } ?? "")
    }
}
