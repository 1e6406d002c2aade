import Gemma4

/// Sampling parameters, with the names and the order of transformers.
public struct SamplingOptions: Sendable, Equatable {
    /// 0 means greedy decoding; otherwise logits are divided by it.
    public var temperature: Float
    /// Keeps the k likeliest tokens; nil keeps all.
    public var topK: Int?
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this sum; nil keeps all.
    public var topP: Float?
    /// Keeps tokens with at least this share of the likeliest one's probability; nil keeps all.
    public var minP: Float?
    /// Divides the positive and multiplies the negative logits of tokens that already occur in the sequence; 1 has no
    /// effect.
    public var repetitionPenalty: Float
    /// Subtracted from the logits of tokens that already occur in the answer, as in OpenAI's API; 0 has no effect.
    public var presencePenalty: Float
    /// Subtracted from a token's logit for each occurrence in the answer; 0 has no effect.
    public var frequencyPenalty: Float
    /// Added to the logits of these tokens; −∞ excludes one.
    public var logitBias: [Int: Float]
    /// The same seed gives the same tokens; nil uses a random one.
    public var seed: UInt64?

    /// Options of sampling; every one has a default.
    public init(
        temperature: Float = 0, topK: Int? = nil, topP: Float? = nil, minP: Float? = nil, repetitionPenalty: Float = 1,
        presencePenalty: Float = 0, frequencyPenalty: Float = 0, logitBias: [Int: Float] = [:], seed: UInt64? = nil
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.logitBias = logitBias
        self.seed = seed
    }

    /// Greedy decoding.
    public static let greedy = SamplingOptions()
}

extension SamplingOptions {
    /// The parameters of `generation_config.json`: greedy without `do_sample`.
    package init(_ configuration: GenerationConfiguration) {
        self.init(
            temperature: configuration.doSample ? Float(configuration.temperature) : 0, topK: configuration.topK,
            topP: configuration.topP.map(Float.init), minP: configuration.minP.map(Float.init),
            repetitionPenalty: Float(configuration.repetitionPenalty ?? 1))
    }
}
