/// An invalid tokenizer file: where, expected, found, remedy.
package struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The file cannot be read.
        case unreadable
        /// It is not JSON, or a value has the wrong type.
        case malformed
        /// Another kind of tokenizer than Gemma 4's.
        case unsupported
        /// A repeated, negative or excessive id, or a repeated piece.
        case invalidVocabulary
        /// A merge whose pieces are not in the vocabulary.
        case invalidMerge
        /// A required piece or special token is missing.
        case missingPiece
    }

    package let code: Code
    package let file: String
    /// Key path, or line and column.
    package let place: String
    package let expected: String
    package let found: String

    init(_ code: Code, file: String, place: String, expected: String, found: String) {
        (self.code, self.file, self.place, self.expected, self.found) = (code, file, place, expected, found)
    }

    package var description: String {
        "\(file), \(place): expected \(expected), found \(found). Use the tokenizer.json published beside the weights."
    }
}
