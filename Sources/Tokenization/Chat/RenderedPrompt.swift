/// A rendered conversation, before its media are encoded.
///
/// Control tokens and text are separate from the beginning: text that spells `<|turn>` stays text, so no user can forge
/// a turn.
package struct RenderedPrompt: Sendable, Hashable {
    package enum Piece: Sendable, Hashable {
        /// The text of a control token, for example `<|turn>`.
        case control(String)
        /// All text between two pieces of other kinds, so that byte-pair encoding sees it at once.
        case text(String)
        /// `reference` as the message gives it.
        case medium(Medium, reference: String?)
    }

    package internal(set) var pieces: [Piece] = []
    /// The answer begins inside a thought that the prompt has opened.
    package internal(set) var opensThought = false
    /// The answer may begin with a thought.
    package internal(set) var allowsThought = false

    package init(_ pieces: [Piece] = []) { self.pieces = pieces }

    /// As the published template renders it, with media as `<|image|>`, `<|audio|>` and `<|video|>`.
    package var text: String {
        pieces.reduce(into: "") { text, piece in
            switch piece {
            case .control(let token): text += token
            case .text(let piece): text += piece
            case .medium(let medium, _): text += "<|\(medium.rawValue)|>"
            }
        }
    }

    /// The media in the order of their placeholders.
    package var media: [(medium: Medium, reference: String?)] {
        pieces.compactMap { piece in
            guard case .medium(let medium, let reference) = piece else { return nil }
            return (medium, reference)
        }
    }

    /// - Parameter expand: writes the replacement of a placeholder, including markers; `index` is the index in `media`.
    /// - Throws: `ChatError` if the tokenizer lacks a control token; rethrows errors of `expand`.
    package func tokens(
        _ tokenizer: Tokenizer, expanding expand: (_ medium: Medium, _ index: Int, inout TokenWriter) throws -> Void
    ) throws -> [Int] {
        var writer = TokenWriter(tokenizer)
        var mediaCount = 0
        for piece in pieces {
            switch piece {
            case .control(let token):
                guard let id = tokenizer.specialTokens[token] else {
                    throw ChatError(
                        .missingToken, key: "tokenizer.json", expected: "the control token \(token)", found: "none",
                        remedy: "Use the tokenizer.json published beside the weights.")
                }
                writer.append([id])
            case .text(let text): writer.append(text)
            case .medium(let medium, _):
                try expand(medium, mediaCount, &writer)
                mediaCount += 1
            }
        }
        writer.append([])
        return writer.ids
    }

    // MARK: Building

    mutating func control(_ token: String) { pieces.append(.control(token)) }

    mutating func text(_ text: String) {
        guard !text.isEmpty else { return }
        if case .text(var joined) = pieces.last {
            pieces.removeLast()  // so that `joined` is uniquely referenced and grows in place
            joined += text
            pieces.append(.text(joined))
        } else {
            pieces.append(.text(text))
        }
    }

    mutating func medium(_ medium: Medium, reference: String?) { pieces.append(.medium(medium, reference: reference)) }

    mutating func endTurn() {
        control("<turn|>")
        text("\n")
    }

    /// A string value of the tool syntax.
    mutating func quoted(_ text: String) {
        control("<|\"|>")
        self.text(text)
        control("<|\"|>")
    }

    /// Ends the prompt before the last occurrence of this scalar, and removes white space before it.
    ///
    /// - Returns: whether it occurs.
    mutating func cut(at mark: Unicode.Scalar) -> Bool {
        while let piece = pieces.popLast() {
            guard case .text(let text) = piece, let place = text.unicodeScalars.lastIndex(of: mark) else { continue }
            self.text(String(text.unicodeScalars[..<place]))
            while case .text(let rest) = pieces.last {
                pieces.removeLast()
                let end = rest.unicodeScalars.lastIndex { !$0.isPythonSpace }
                if let end {
                    pieces.append(.text(String(rest.unicodeScalars[...end])))
                    break
                }
            }
            opensThought = false
            return true
        }
        return false
    }

    mutating func append(_ other: RenderedPrompt) {
        for piece in other.pieces {
            if case .text(let text) = piece { self.text(text) } else { pieces.append(piece) }
        }
    }

    /// Calls `write` for each element, with commas in between.
    mutating func list<Element, Failure>(
        _ elements: some Sequence<Element>, _ write: (inout RenderedPrompt, Element) throws(Failure) -> Void
    ) throws(Failure) {
        var isFirst = true
        for element in elements {
            if !isFirst { text(",") }
            isFirst = false
            try write(&self, element)
        }
    }
}
