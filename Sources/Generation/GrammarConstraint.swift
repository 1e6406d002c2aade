import Grammar

/// Constrains an answer to a grammar: a thought before it is unconstrained, and it may end only where the grammar
/// accepts. Tool calls may replace it.
struct GrammarConstraint: TokenConstraint {
    private enum Phase: Equatable {
        /// At the start of the answer, or of a thought before it.
        case opening(allowsThought: Bool)
        case thought
        case answer
        /// Tool calls instead of an answer.
        case calls
    }

    private var state: GrammarState
    private var phase: Phase
    private var calls: ToolCallConstraint?
    private let markers: AnswerMarkers
    private let vocabularySize: Int

    /// - Parameter calls: the constraint of tool calls that may replace the answer; nil: calls are not allowed.
    init(_ matcher: GrammarMatcher, _ prompt: Prompt, _ markers: AnswerMarkers, calls: ToolCallConstraint? = nil) {
        state = matcher.start
        (self.markers, self.calls) = (markers, calls)
        vocabularySize = matcher.tree.vocabularySize
        phase =
            prompt.opensThought
            ? .thought : .opening(allowsThought: prompt.allowsThought && markers.thought != nil)
    }

    var isFree: Bool { false }

    func allowed() -> TokenMask? {
        switch phase {
        case .thought: return markers.allButStops(count: vocabularySize)
        case .calls:
            if let mask = calls?.allowed() { return mask }
            var mask = markers.stops(count: vocabularySize)
            if let calls { mask.insert(calls.callStart) }
            return mask
        case .opening, .answer:
            var mask = state.mask
            if state.isAccepting { mask.formUnion(markers.stops(count: vocabularySize)) }
            if case .opening(let allowsThought) = phase {
                if allowsThought, let thought = markers.thought { mask.insert(thought.start) }
                if let calls { mask.insert(calls.callStart) }
            }
            return mask
        }
    }

    func accepts(_ token: Int) -> Bool {
        if phase == .thought || markers.stopTokens.contains(token) || token == markers.thought?.start { return true }
        if phase == .calls { return calls?.accepts(token) ?? false }
        if let calls, token == calls.callStart { return true }
        var next = state
        return next.advance(token: token)
    }

    mutating func accept(_ token: Int) {
        switch phase {
        case .thought where token == markers.thought?.end: phase = .opening(allowsThought: false)
        case .opening where token == markers.thought?.start: phase = .thought
        case .opening where token == calls?.callStart, .thought where token == calls?.callStart:
            phase = .calls
            calls?.accept(token)
        case .thought: break
        case .calls: calls?.accept(token)
        case .opening, .answer:
            phase = .answer
            if !markers.stopTokens.contains(token) { _ = state.advance(token: token) }
        }
    }

    func forced(encode: (String) -> [Int]) -> [Int] {
        switch phase {
        case .opening(allowsThought: false) where calls == nil, .answer: state.forcedTokens(encode: encode)
        case .calls: calls?.forced(encode: encode) ?? []
        case .opening, .thought: []
        }
    }

    var isComplete: Bool {
        switch phase {
        case .opening(allowsThought: false) where calls == nil, .answer: state.isFinal
        case .calls: calls?.isComplete ?? false
        case .opening, .thought: false
        }
    }
}
