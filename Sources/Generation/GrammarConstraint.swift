import Grammar

/// Holds an answer to a grammar: a thought before it is free, and it ends where the grammar may end.
struct GrammarConstraint: TokenConstraint {
    private enum Phase {
        /// The answer begins, or a thought before it.
        case opening
        case thought
        case answer
    }

    private var state: GrammarState
    private var phase: Phase
    private let stopTokens: Set<Int>
    private let thought: (start: Int, end: Int)?
    private let vocabularySize: Int

    /// - Parameters:
    ///   - stopTokens: ids that end the answer.
    ///   - thought: ids of the markers around a thought.
    init(_ matcher: GrammarMatcher, _ prompt: Prompt, stopTokens: Set<Int>, thought: (start: Int, end: Int)?) {
        state = matcher.start
        (self.stopTokens, self.thought) = (stopTokens, thought)
        vocabularySize = matcher.tree.vocabularySize
        phase = prompt.opensThought ? .thought : prompt.allowsThought && thought != nil ? .opening : .answer
    }

    var isFree: Bool { false }

    func allowed() -> TokenMask? {
        if phase == .thought {
            var mask = TokenMask(count: vocabularySize)
            mask.insertAll(below: vocabularySize)
            for token in stopTokens where token < vocabularySize { mask.remove(token) }
            return mask
        }
        var mask = state.mask
        if state.isAccepting { for token in stopTokens where token < vocabularySize { mask.insert(token) } }
        if phase == .opening, let thought { mask.insert(thought.start) }
        return mask
    }

    func accepts(_ token: Int) -> Bool {
        if phase == .thought || stopTokens.contains(token) || token == thought?.start { return true }
        var next = state
        return next.advance(token: token)
    }

    mutating func accept(_ token: Int) {
        switch phase {
        case .thought: if token == thought?.end { phase = .answer }
        case .opening where token == thought?.start: phase = .thought
        case .opening, .answer:
            phase = .answer
            if !stopTokens.contains(token) { _ = state.advance(token: token) }
        }
    }

    func forced(encode: (String) -> [Int]) -> [Int] { phase == .answer ? state.forcedTokens(encode: encode) : [] }

    var isComplete: Bool { phase == .answer && state.isFinal }
}
