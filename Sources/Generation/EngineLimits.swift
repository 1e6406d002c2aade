import Tensors

/// Resource limits of an engine.
public struct EngineLimits: Sendable {
    /// Bytes of keys and values of running sequences and of those kept for later prompts.
    public var memoryBytes: Int
    /// Bytes of soft tokens kept for media that occur again.
    public var mediaBytes: Int
    /// Maximum concurrent sequences; more wait.
    public var runningSequences: Int
    /// Maximum waiting sequences; more are rejected.
    public var waitingSequences: Int
    /// Maximum prompt tokens per step.
    public var promptTokensPerStep: Int
    /// The maximum duration of a step, as a multiple of that of decoding the running answers alone.
    /// Exception: if all running answers have only their first token, they wait once, at most two seconds, until prompts
    /// that arrived before that token are prefilled.
    public var stepBound: Double
    /// Whether all draft tokens are verified, whatever that costs on this machine.
    package var verifiesAllGuesses = false

    /// - Parameter memoryBytes: nil means half of what the machine, or the control group, has available.
    public init(
        memoryBytes: Int? = nil, mediaBytes: Int = 256 << 20, runningSequences: Int = 16,
        waitingSequences: Int = 4096, promptTokensPerStep: Int = 512, stepBound: Double = 3
    ) {
        self.memoryBytes = memoryBytes ?? MemoryLimit.current.availableBytes / 2
        self.mediaBytes = mediaBytes
        self.runningSequences = runningSequences
        self.waitingSequences = waitingSequences
        self.promptTokensPerStep = promptTokensPerStep
        self.stepBound = stepBound
    }
}

/// The current state and the totals of an engine.
public struct EngineStatistics: Sendable, Equatable, Codable {
    /// Sequences in prefill or decode.
    public var running = 0
    /// Sequences not yet admitted.
    public var waiting = 0
    /// Media waiting to be encoded.
    public var encoding = 0
    /// Upper bound of the bytes of the running sequences.
    public var admittedBytes = 0
    /// Bytes of keys and values kept for later prompts, and of kept soft tokens.
    public var keptBytes = 0, keptMediaBytes = 0
    /// Steps, and their total duration in seconds.
    public var steps = 0
    /// Seconds in which passes ran.
    public var busySeconds = 0.0
    /// Prompt tokens that were prefilled, or found in a cache, and generated tokens.
    public var promptTokens = 0, cachedTokens = 0, generatedTokens = 0
    /// Media whose soft tokens were found in the cache.
    public var mediaHits = 0
    /// Seconds from arrival to first token, of the sequence that most recently got its first token.
    public var timeToFirstToken = 0.0
    /// Sequences that have ended, for any reason.
    public var ended = 0
}

/// Why an engine rejects a sequence.
package struct EngineError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// It needs more memory than the engine's budget.
        case memory(needed: Int, budget: Int)
        /// Too many sequences are waiting.
        case busy(waiting: Int)
    }

    package let code: Code

    init(_ code: Code) { self.code = code }

    package var description: String {
        switch code {
        case .memory(let needed, let budget):
            "the keys and values of this answer take up to \(needed >> 20) MB; the engine may take \(budget >> 20) MB. "
                + "Shorten the prompt, ask for fewer tokens, take --kv-cache q8_0 or rotated, or give it more memory."
        case .busy(let waiting):
            "\(waiting) answers wait already, as many as the engine takes; try again later."
        }
    }
}
