import Tokenization

/// Closes a thought that exceeds its budget, as the model itself would: with a newline and the marker.
struct ThoughtClosing: Sendable {
    /// The tokens that must follow now; empty while the thought may continue, and outside of thoughts.
    private(set) var tokens: [Int] = []
    private let budget: Int
    private var count = 0
    private let end: Int
    private let tokenizer: Tokenizer

    /// - Parameter budget: the maximum number of tokens of all thoughts of an answer.
    /// - Returns: nil without a budget, or if the vocabulary has no marker.
    init?(_ tokenizer: Tokenizer, budget: Int?) {
        guard let budget, let end = tokenizer.specialTokens["<channel|>"] else { return nil }
        (self.tokenizer, self.budget, self.end) = (tokenizer, budget, end)
    }

    /// Called at the start of the answer.
    ///
    /// - Parameter isInThought: whether the prompt has opened a thought.
    mutating func begin(isInThought: Bool) {
        if isInThought && budget <= 0 { tokens = [end] }
    }

    /// Counts a token of the answer.
    ///
    /// - Parameter isInThought: whether the next token would belong to a thought.
    mutating func accept(_ token: Int, _ kind: TokenKind, isInThought: Bool) {
        if !tokens.isEmpty {
            if tokens.first == token { tokens.removeFirst() }
            if !isInThought { tokens = [] }
            return
        }
        if kind == .thought { count += 1 }
        guard isInThought, count >= budget else { return }
        // The newline after the channel's name counts as one.
        let endsLine = kind != .thought || tokenizer.decode([token]).hasSuffix("\n")
        tokens = (endsLine ? [] : tokenizer.encode("\n")) + [end]
    }
}
