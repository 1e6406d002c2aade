import Tensors

/// What an engine may take.
public struct EngineLimits: Sendable {
    /// Bytes of keys and values of running sequences and of those that are kept for later prompts.
    public var memoryBytes: Int
    /// Bytes of soft tokens that are kept for media that come again.
    public var mediaBytes: Int
    /// Sequences that run at once; more wait.
    public var runningSequences: Int
    /// Sequences that wait at once; more are refused.
    public var waitingSequences: Int
    /// Tokens of prompts that one step reads at most.
    public var promptTokensPerStep: Int
    /// The longest step, as a multiple of what the running answers alone would take.
    public var stepBound: Double
    /// Whether all guesses are verified, whatever that costs on this machine.
    package var verifiesAllGuesses = false

    /// - Parameter memoryBytes: nil takes half of what the machine, or the control group, can give.
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

/// What an engine does at a moment, and has done so far.
public struct EngineStatistics: Sendable, Equatable, Codable {
    /// Sequences that write or are read.
    public var running = 0
    /// Sequences that have not been admitted yet.
    public var waiting = 0
    /// Media that wait for their towers.
    public var encoding = 0
    /// Bytes that the running sequences take at most.
    public var admittedBytes = 0
    /// Bytes of keys and values that are kept for later prompts, and of soft tokens.
    public var keptBytes = 0, keptMediaBytes = 0
    /// Steps, and the seconds that they took.
    public var steps = 0
    public var busySeconds = 0.0
    /// Tokens of prompts that were read, or found in a cache, and tokens of answers.
    public var promptTokens = 0, cachedTokens = 0, generatedTokens = 0
    /// Media that had been encoded before.
    public var mediaHits = 0
    /// Of the last sequence that got its first token: the seconds from its arrival to then.
    public var timeToFirstToken = 0.0
    /// Sequences that have ended, for whatever reason.
    public var ended = 0
}

/// Why an engine does not take a sequence.
package struct EngineError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// It needs more memory than the engine may take at all.
        case memory(needed: Int, budget: Int)
        /// Too many sequences wait.
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
