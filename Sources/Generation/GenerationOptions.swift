import Tokenization

/// Options for generating an answer.
public struct GenerationOptions: Sendable {
    /// Sampling parameters; nil: those of the model's `generation_config.json`.
    public var sampling: SamplingOptions?
    /// Maximum number of generated tokens.
    public var maxTokens: Int
    /// Strings that end the answer and are not part of it.
    public var stop: [String]
    /// Number of likeliest tokens reported at each position.
    public var topLogprobs: Int
    /// Ends an answer that repeats itself endlessly; nil lets it continue.
    public var loopGuard: LoopGuard?
    /// The format of the answer; nil: unconstrained. If the prompt has tools, calls may come instead.
    public var format: AnswerFormat?
    /// Whether the answer calls tools.
    public var toolChoice = ToolChoice.auto
    /// Whether an answer may contain several tool calls; if not, it ends with its first call.
    public var parallelToolCalls = true
    /// Whether tool calls are constrained to existing tools and to arguments that match their schema. Required and
    /// single calls are always constrained.
    public var constrainsToolCalls = true
    /// Maximum number of tokens of thoughts, after which the thought is closed and the answer continues; nil: no
    /// limit but that of the answer.
    public var thinkingBudget: Int?
    /// The source of draft tokens, which are verified several per pass; the answer is bit-identical.
    public var draft: Draft?
    /// Priority among waiting requests.
    public var priority = Priority.interactive
    /// Called during prefill: tokens prefilled so far, tokens in total.
    public var onPrefill: (@Sendable (_ read: Int, _ total: Int) -> Void)?

    /// Constrains the tokens that may be sampled.
    package var constraint: (any TokenConstraint)?
    /// The first tokens of the answer, whatever the model would choose; the model chooses those that follow.
    package var forcedTokens: [Int] = []
    /// Whether stop tokens end the answer.
    package var endsAtStopTokens = true
    /// Whether keys and values are kept for later prompts with the same prefix.
    package var keepsCache = true

    /// How urgent an answer is: interactive requests are admitted and prefilled before batch requests.
    public enum Priority: Int, Sendable, Comparable {
        case batch, interactive

        /// Whether `one` waits for `other`.
        public static func < (one: Priority, other: Priority) -> Bool { one.rawValue < other.rawValue }
    }

    /// The source of draft tokens.
    public enum Draft: String, Sendable, CaseIterable {
        /// Prompt lookup: n-grams that occur in the prompt or the answer; for texts that are copied, summarized or
        /// edited.
        case lookup
    }

    /// Options of an answer; every one has a default.
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

    /// Tokens that are never sampled.
    func suppressed(_ tokenizer: Tokenizer?) -> Set<Int> {
        guard toolChoice == .none, let callStart = tokenizer?.specialTokens["<|tool_call>"] else { return [] }
        return [callStart]
    }
}
