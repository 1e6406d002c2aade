/// A conversation as the model reads it, before its media are known.
///
/// Control tokens and text are kept apart from the beginning: text that spells `<|turn>` stays text, so no user can
/// forge a turn.
public struct RenderedPrompt: Sendable, Hashable {
    public enum Piece: Sendable, Hashable {
        /// The text of a control token, `<|turn>` say.
        case control(String)
        /// Between two pieces of another kind, so that byte-pair encoding sees all of it at once.
        case text(String)
        /// `reference` as the message gives it.
        case medium(Medium, reference: String?)
    }

    public internal(set) var pieces: [Piece] = []
    /// The answer begins inside a thought that the prompt has opened.
    public internal(set) var opensThought = false

    /// As the published template renders it, media as `<|image|>`, `<|audio|>` and `<|video|>`.
    public var text: String {
        pieces.reduce(into: "") { text, piece in
            switch piece {
            case .control(let token): text += token
            case .text(let piece): text += piece
            case .medium(let medium, _): text += "<|\(medium.rawValue)|>"
            }
        }
    }

    /// The media in the order of their placeholders.
    public var media: [(medium: Medium, reference: String?)] {
        pieces.compactMap { piece in
            guard case .medium(let medium, let reference) = piece else { return nil }
            return (medium, reference)
        }
    }

    // MARK: Building

    mutating func control(_ token: String) { pieces.append(.control(token)) }

    mutating func text(_ text: String) {
        guard !text.isEmpty else { return }
        if case .text(let before) = pieces.last {
            pieces[pieces.count - 1] = .text(before + text)
        } else {
            pieces.append(.text(text))
        }
    }

    mutating func medium(_ medium: Medium, reference: String?) { pieces.append(.medium(medium, reference: reference)) }

    /// A string value of the tool syntax.
    mutating func quoted(_ text: String) {
        control("<|\"|>")
        self.text(text)
        control("<|\"|>")
    }

    mutating func append(_ other: RenderedPrompt) {
        for piece in other.pieces {
            if case .text(let text) = piece { self.text(text) } else { pieces.append(piece) }
        }
    }

    /// Calls `write` for each element, commas between.
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
