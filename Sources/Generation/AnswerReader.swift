import Tokenization

/// Turns generated ids into text and tells thoughts and control tokens from the answer.
struct AnswerReader: Sendable {
    private let tokenizer: Tokenizer
    /// One for each kind: a character may go on after a control token, but not in a text of another kind.
    private var decoders: [ResponseParser.Kind: StreamingDecoder] = [:]
    private var parser: ResponseParser
    private var stops: StopStrings

    init(_ tokenizer: Tokenizer, opensThought: Bool, stop: [String]) {
        self.tokenizer = tokenizer
        parser = ResponseParser(tokenizer, startsInThought: opensThought)
        stops = StopStrings(stop)
    }

    /// All of it, taken apart.
    var response: Response { parser.response }

    /// Whether the next token would belong to a thought.
    var isInThought: Bool { parser.isInThought }

    /// - Parameter isLast: whether the answer ends with this token: then what was held back is given out too.
    /// - Returns: the text that is complete with this token, and whether it came to a stop string, which it ends before.
    mutating func read(_ token: Int, isLast: Bool) -> (kind: ResponseParser.Kind, text: String, isStopped: Bool) {
        let kind = parser.append(token)
        let text = decoders[kind, default: StreamingDecoder(tokenizer)].append(token)
        if kind == .answer, !stops.isEmpty {
            let (free, isComplete) = stops.append(text)
            if isComplete { return (kind, free, true) }
            return isLast ? finish(kind, free) : (kind, free, false)
        }
        return isLast ? finish(kind, text) : (kind, text, false)
    }

    /// A stop token also gives out what the answer before it held back.
    private mutating func finish(_ kind: ResponseParser.Kind, _ text: String) -> (ResponseParser.Kind, String, Bool) {
        let kindHeldBack = kind == .control ? .answer : kind
        var heldBack = decoders[kindHeldBack]?.finish() ?? ""
        if kindHeldBack == .answer, !stops.isEmpty {
            let (free, isComplete) = stops.append(heldBack)
            heldBack = isComplete ? free : free + stops.finish()
            if isComplete { return (kindHeldBack, kind == .control ? heldBack : text + heldBack, true) }
        }
        return heldBack.isEmpty
            ? (kind, text, false) : (kindHeldBack, kind == .control ? heldBack : text + heldBack, false)
    }
}
