import Gemma4

/// How the next token is chosen from the logits, with the names and the order of transformers.
public struct SamplingOptions: Sendable, Equatable {
    /// 0 takes the likeliest token; otherwise logits are divided by it.
    public var temperature: Float
    /// Keeps the k likeliest tokens; nil keeps all.
    public var topK: Int?
    /// Keeps the smallest set of likeliest tokens whose probabilities reach this sum; nil keeps all.
    public var topP: Float?
    /// Keeps tokens of at least this share of the likeliest one's probability; nil keeps all.
    public var minP: Float?
    /// Divides the positive and multiplies the negative logits of tokens that the sequence already holds; 1 does nothing.
    public var repetitionPenalty: Float
    /// Taken off the logits of tokens that the answer already holds; 0 does nothing. As in OpenAI's interface.
    public var presencePenalty: Float
    /// Taken off a token's logit for each time that the answer already holds it; 0 does nothing.
    public var frequencyPenalty: Float
    /// Added to the logits of these tokens; −∞ forbids one.
    public var logitBias: [Int: Float]
    /// The same seed gives the same tokens; nil takes a fresh one.
    public var seed: UInt64?

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

    /// Always the likeliest token.
    public static let greedy = SamplingOptions()
}

extension SamplingOptions {
    /// What `generation_config.json` asks for: without `do_sample` the likeliest token.
    package init(_ configuration: GenerationConfiguration) {
        self.init(
            temperature: configuration.doSample ? Float(configuration.temperature) : 0, topK: configuration.topK,
            topP: configuration.topP.map(Float.init), minP: configuration.minP.map(Float.init),
            repetitionPenalty: Float(configuration.repetitionPenalty ?? 1))
    }
}
