import Tokenization

/// Decodes generated ids to text and separates thoughts and control tokens from the answer.
struct AnswerReader: Sendable {
    private let tokenizer: Tokenizer
    /// One per kind: a character may continue after a control token, but not in a text of another kind.
    private var decoders: [ResponseParser.Kind: StreamingDecoder] = [:]
    private var parser: ResponseParser
    private var stops: StopStrings

    init(_ tokenizer: Tokenizer, opensThought: Bool, stop: [String]) {
        self.tokenizer = tokenizer
        parser = ResponseParser(tokenizer, startsInThought: opensThought)
        stops = StopStrings(stop)
    }

    /// The parsed response so far.
    var response: Response { parser.response }

    /// Whether the next token would belong to a thought.
    var isInThought: Bool { parser.isInThought }

    /// - Parameter isLast: whether the answer ends with this token; then text that was held back is returned too.
    /// - Returns: the text completed by this token, and whether a stop string occurred, before which the text ends.
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

    /// A stop token also releases the held-back text of the answer before it.
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
