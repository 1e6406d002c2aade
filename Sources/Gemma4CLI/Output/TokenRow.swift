import Foundation
import Gemma4Kit
import JSONText
import Tokenization

/// One token as a table row: log-probability, id, piece.
struct TokenRow {
    let token: Int
    let logprob: Float?
    let piece: String

    init(_ token: Int, _ logprob: Float?, _ tokenizer: Tokenizer) {
        self.token = token
        self.logprob = logprob
        piece = tokenizer.piece(token) ?? ""
    }

    /// The row as a line; the piece is quoted, because it may contain a newline.
    var text: String {
        let number = logprob.map { String(format: "%9.4f", $0) } ?? "        –"
        return "\(number)\t\(token)\t\(JSONValue.string(piece).json)\n"
    }
}
