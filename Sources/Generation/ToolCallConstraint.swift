import Grammar

/// Constrains tool calls to existing tools and to the schemas of their arguments. Other text is unconstrained, unless
/// the answer has to start with a call.
struct ToolCallConstraint: TokenConstraint {
    private enum Phase {
        /// The answer must start with a call, or a thought before it.
        case opening(allowsThought: Bool)
        /// A thought before a required call.
        case thought
        case free
        case call(GrammarState)
        /// After the only call.
        case ended
    }

    private let matcher: GrammarMatcher
    private let markers: AnswerMarkers
    private let allowsSeveral: Bool
    private var phase: Phase

    /// - Parameters:
    ///   - matcher: matches one call, including its end marker.
    ///   - callStart: the id of `<|tool_call>`.
    ///   - mustCall: whether the answer has to start with a call.
    ///   - allowsSeveral: whether several calls are allowed; if not, the answer ends with the first.
    init(
        _ matcher: GrammarMatcher, _ prompt: Prompt, _ markers: AnswerMarkers, callStart: Int, mustCall: Bool = false,
        allowsSeveral: Bool = true
    ) {
        (self.matcher, self.markers, self.callStart) = (matcher, markers, callStart)
        self.allowsSeveral = allowsSeveral
        phase =
            !mustCall
            ? .free
            : prompt.opensThought
                ? .thought : .opening(allowsThought: prompt.allowsThought && markers.thought != nil)
    }

    let callStart: Int

    var isFree: Bool { if case .free = phase { true } else { false } }

    func allowed() -> TokenMask? {
        switch phase {
        case .opening(let allowsThought):
            var mask = TokenMask(count: matcher.tree.vocabularySize)
            mask.insert(callStart)
            if allowsThought, let thought = markers.thought { mask.insert(thought.start) }
            return mask
        case .thought: return markers.allButStops(count: matcher.tree.vocabularySize)
        case .free: return nil
        case .call(let state): return state.mask
        case .ended: return markers.stops(count: matcher.tree.vocabularySize)
        }
    }

    func accepts(_ token: Int) -> Bool {
        guard case .call(var next) = phase else { return true }
        return next.advance(token: token)
    }

    mutating func accept(_ token: Int) {
        switch phase {
        case .opening where token == markers.thought?.start: phase = .thought
        case .thought where token == markers.thought?.end: phase = .opening(allowsThought: false)
        case .opening, .thought, .free: if token == callStart { phase = .call(matcher.start) }
        case .call(var state):
            if state.advance(token: token) && !state.isFinal {
                phase = .call(state)
            } else {
                phase = allowsSeveral ? .free : .ended
            }
        case .ended: break
        }
    }

    func forced(encode: (String) -> [Int]) -> [Int] {
        switch phase {
        case .opening(allowsThought: false): [callStart] + matcher.start.forcedTokens(encode: encode)
        case .call(let state): state.forcedTokens(encode: encode)
        case .opening, .thought, .free, .ended: []
        }
    }

    var isComplete: Bool { if case .ended = phase { true } else { false } }
}

/// The control tokens that delimit the parts of an answer.
struct AnswerMarkers: Sendable {
    /// Ids that end the answer.
    let stopTokens: Set<Int>
    /// Ids around a thought.
    let thought: (start: Int, end: Int)?

    /// All tokens that do not end the answer.
    func allButStops(count: Int) -> TokenMask {
        var mask = TokenMask(count: count)
        mask.insertAll(below: count)
        for token in stopTokens where token < count { mask.remove(token) }
        return mask
    }

    /// The tokens that end the answer.
    func stops(count: Int) -> TokenMask {
        var mask = TokenMask(count: count)
        for token in stopTokens where token < count { mask.insert(token) }
        return mask
    }
}
