import Tokenization

/// How an answer is made.
public struct GenerationOptions: Sendable {
    /// How tokens are chosen; nil: as the model's `generation_config.json` says.
    public var sampling: SamplingOptions?
    /// The answer ends after so many tokens at the latest.
    public var maxTokens: Int
    /// Strings that end the answer; they are not part of it.
    public var stop: [String]
    /// How many of the likeliest tokens are reported at each place.
    public var topLogprobs: Int
    /// Ends an answer that repeats itself without end; nil lets it go on.
    public var loopGuard: LoopGuard?
    /// What the answer must look like; nil leaves it free. Where the prompt has tools, calls may come instead.
    public var format: AnswerFormat?
    /// Whether the answer calls tools.
    public var toolChoice = ToolChoice.auto
    /// Whether an answer may call several tools at once; if not, it ends with its first call.
    public var parallelToolCalls = true
    /// Whether a call that the model begins must be of a tool that exists, with arguments that obey its schema. Calls that
    /// have to come, and single ones, are held to it in any case.
    public var constrainsToolCalls = true
    /// A thought is closed once it has so many tokens, and the answer goes on; nil: it may be as long as the answer.
    public var thinkingBudget: Int?
    /// Where guesses of the next tokens come from, which are verified several in a pass; the answer is the same, to the bit.
    public var draft: Draft?
    /// Who goes first where several wait.
    public var priority = Priority.interactive
    /// Called while the prompt is read: tokens read so far, tokens in all.
    public var onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)?

    /// Restricts the tokens that may be chosen.
    package var constraint: (any TokenConstraint)?
    /// The tokens of the answer, whatever the model would choose; what follows them it chooses itself.
    package var forcedTokens: [Int] = []
    /// Whether stop tokens end the answer.
    package var endsAtStopTokens = true
    /// Whether keys and values are kept for a later prompt that begins in the same way.
    package var keepsCache = true

    /// How urgent an answer is: one that somebody waits for is begun, and its prompt read, before one of a batch.
    public enum Priority: Int, Sendable, Comparable {
        case batch, interactive

        public static func < (one: Priority, other: Priority) -> Bool { one.rawValue < other.rawValue }
    }

    /// What proposes tokens.
    public enum Draft: String, Sendable, CaseIterable {
        /// Runs that the prompt or the answer holds already: for texts that are copied, summarized or edited.
        case lookup
    }

    public init(
        sampling: SamplingOptions? = nil, maxTokens: Int = 1024, stop: [String] = [], topLogprobs: Int = 0,
        loopGuard: LoopGuard? = .init(), format: AnswerFormat? = nil,
        onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)? = nil
    ) {
        self.sampling = sampling
        self.maxTokens = maxTokens
        self.stop = stop
        self.topLogprobs = topLogprobs
        self.loopGuard = loopGuard
        self.format = format
        self.onPrefill = onPrefill
    }

    /// Tokens that no answer may hold.
    func suppressed(_ tokenizer: Tokenizer?) -> Set<Int> {
        guard toolChoice == .none, let callStart = tokenizer?.specialTokens["<|tool_call>"] else { return [] }
        return [callStart]
    }
}
