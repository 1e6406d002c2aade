import Gemma4
import Tensors
import Tokenization

/// Reads prompts and writes answers on one cache; what a prompt shares with the cache is not read again.
struct Generator {
    /// Tokens of one pass over a prompt.
    static let chunkLength = 512

    let pipeline: Gemma4Pipeline
    private var cache: KVCache
    /// The ids whose keys and values the cache holds.
    private var cached: [Int] = []

    init(_ pipeline: Gemma4Pipeline) {
        self.pipeline = pipeline
        cache = pipeline.makeCache()
    }

    /// Answers one prompt.
    ///
    /// - Throws: `ModelInputError`, `CheckpointError` if weights are not finite, `CancellationError`.
    mutating func generate(_ prompt: Prompt, _ options: GenerationOptions, yield: (GeneratedToken) -> Void) throws {
        let clock = ContinuousClock()
        var statistics = GenerationStatistics()
        statistics.encodeSeconds = prompt.encodeSeconds
        guard !prompt.tokens.isEmpty else { throw ModelInputError(.emptyPrompt) }
        let room = pipeline.model.configuration.textConfig.maxPositionEmbeddings - prompt.tokens.count
        guard room > 0 else {
            throw ModelInputError(
                .contextLength(
                    needed: prompt.tokens.count + 1,
                    limit: pipeline.model.configuration.textConfig.maxPositionEmbeddings))
        }
        let maxTokens = min(options.maxTokens, room)
        var sampler = pipeline.sampler(options.sampling)
        var reader = AnswerReader(pipeline.tokenizer, opensThought: prompt.opensThought)
        var loops = options.loopGuard.map(LoopDetector.init)
        var context = prompt.tokens
        var start = clock.now
        var hidden = try read(prompt, options, &statistics)
        for count in 1...max(1, maxTokens) {
            let logits = pipeline.model.logits(hidden)
            guard let token = sampler.choose(logits.toArray(), after: context),
                case let logprob = logits.logProbabilities(of: [token])[0], logprob.isFinite
            else { throw pipeline.notFinite() }
            context.append(token)
            let isStop = pipeline.stopTokens.contains(token)
            let repetition = isStop ? nil : loops?.append(token)
            let isLast = isStop || count >= maxTokens || repetition != nil
            let now = clock.now
            if count == 1 {
                statistics.prefillSeconds = start.duration(to: now).inSeconds
                start = now
            }
            statistics.generatedTokens = count
            statistics.decodeSeconds = start.duration(to: now).inSeconds
            let (kind, text) = reader.read(token, isLast: isLast)
            let finish =
                isLast
                ? GeneratedToken.Finish(
                    reason: isStop ? .stop : repetition == nil ? .length : .repetition, repetition: repetition,
                    statistics: statistics, promptTokens: prompt.tokens, toolCalls: reader.response.toolCalls,
                    cutToolCall: reader.response.cutToolCall) : nil
            yield(GeneratedToken(id: token, logprob: logprob, kind: kind, text: text, finish: finish))
            if isLast { return }
            try Task.checkCancellation()
            hidden = try step([token], softTokens: nil)
        }
    }

    /// Reads what the cache does not hold yet, in chunks.
    ///
    /// - Returns: the last position after the final norm, `[1, hiddenSize]`.
    private mutating func read(_ prompt: Prompt, _ options: GenerationOptions, _ statistics: inout GenerationStatistics)
        throws -> Tensor
    {
        // The last token is read again in any case: its result is what the answer starts from.
        if cached.count >= prompt.tokens.count || !prompt.tokens.starts(with: cached) {
            (cache, cached) = (pipeline.makeCache(), [])
        }
        let model = pipeline.model
        let rest = Array(prompt.tokens[cached.count...])
        var softUsed = cached.reduce(0) { $0 + (model.isPlaceholder($1) ? 1 : 0) }
        statistics.promptTokens = rest.count
        var hidden: Tensor?
        for chunk in try model.chunks(of: rest, length: cache.chunkLength) {
            try Task.checkCancellation()
            let tokens = Array(rest[chunk])
            let softCount = tokens.reduce(0) { $0 + (model.isPlaceholder($1) ? 1 : 0) }
            let soft = softCount > 0 ? prompt.softTokens?[softUsed..<softUsed + softCount] : nil
            softUsed += softCount
            hidden = try step(tokens, softTokens: soft, wantsLast: chunk.upperBound == rest.count)
            options.onPrefill?(chunk.upperBound, rest.count)
        }
        return hidden!
    }

    /// One pass over the weights. A generated id that stands for media is read as the pad token, as in the reference.
    private mutating func step(_ tokens: [Int], softTokens: Tensor?, wantsLast: Bool = true) throws -> Tensor {
        let model = pipeline.model
        let isGenerated = tokens.count == 1 && softTokens == nil && model.isPlaceholder(tokens[0])
        let input = Gemma4Model.Input(
            tokens: isGenerated ? [model.configuration.textConfig.padTokenId] : tokens, softTokens: softTokens,
            wantedRows: wantsLast ? [tokens.count - 1] : [], cache: cache)
        let hidden = try model([input])[0]
        cached += tokens
        return hidden
    }
}

/// Turns generated ids into text and tells thoughts and control tokens from the answer.
private struct AnswerReader {
    private let tokenizer: Tokenizer
    /// One for each kind: a character may go on after a control token, but not in a text of another kind.
    private var decoders: [ResponseParser.Kind: StreamingDecoder] = [:]
    private var parser: ResponseParser

    init(_ tokenizer: Tokenizer, opensThought: Bool) {
        self.tokenizer = tokenizer
        parser = ResponseParser(tokenizer, startsInThought: opensThought)
    }

    var response: Response { parser.response }

    mutating func read(_ token: Int, isLast: Bool) -> (kind: ResponseParser.Kind, text: String) {
        let kind = parser.append(token)
        let text = decoders[kind, default: StreamingDecoder(tokenizer)].append(token)
        guard isLast else { return (kind, text) }
        // A stop token also gives out what the answer before it held back.
        let kindHeldBack = kind == .control ? .answer : kind
        let heldBack = decoders[kindHeldBack]?.finish() ?? ""
        return heldBack.isEmpty ? (kind, text) : (kindHeldBack, kind == .control ? heldBack : text + heldBack)
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
