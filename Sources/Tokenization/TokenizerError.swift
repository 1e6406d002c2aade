/// What is wrong with a tokenizer file: where, what was expected, what was found, what to do.
package struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The file cannot be read.
        case unreadable
        /// It is not JSON, or a value is of another kind.
        case malformed
        /// A kind of tokenizer that is not Gemma 4's.
        case unsupported
        /// An id twice, negative or absurd, or a piece twice.
        case invalidVocabulary
        /// A merge of pieces that the vocabulary lacks.
        case invalidMerge
        /// A piece or special token that is needed.
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
