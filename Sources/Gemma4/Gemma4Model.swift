import Tensors
import Weights

/// Gemma 4: token ids, pictures and sound in, logits out, or embeddings. One graph for all variants, made from the
/// configuration.
///
/// Weights are used where they lie in the checkpoint's files. The model never changes after loading, so any number of
/// conversations may use it at once, each with its own `KVCache`.
package struct Gemma4Model: Sendable {
    package let configuration: ModelConfiguration
    package let device: Device
    /// How caches store keys and values.
    package let keyValueType: KeyValueType
    /// Of layers that own keys and values, where these are integers.
    private let keyValueSteps: [Int: KeyValueSteps]
    let decoder: Decoder
    let vision: (tower: VisionTower, embedder: MultimodalEmbedder)?
    let audio: (tower: AudioTower, embedder: MultimodalEmbedder)?
    /// What the 12B has instead of towers.
    let unifiedVision: UnifiedVisionEmbedder?
    let unifiedAudio: MultimodalEmbedder?

    /// One sequence's share of a forward pass.
    package struct Input {
        /// Token ids, with one placeholder id for each soft token.
        package var tokens: [Int]
        /// The soft tokens at those placeholders in order, `[n, hiddenSize]`; nil if there are none.
        package var softTokens: Tensor?
        /// The rows whose result is wanted, ascending.
        package var wantedRows: [Int]
        /// Keys and values of what went before; the tokens' are added. Nil of an encoder, which keeps none.
        package var cache: KVCache?

        package init(tokens: [Int], softTokens: Tensor? = nil, wantedRows: [Int], cache: KVCache?) {
            (self.tokens, self.softTokens, self.wantedRows, self.cache) = (tokens, softTokens, wantedRows, cache)
        }
    }

    /// - Parameters:
    ///   - weights: the root of the checkpoint.
    ///   - activations: what the decoder's weights in blocks are multiplied by.
    ///   - towerActivations: the same for the clipped linears of the towers.
    ///   - keyValueType: how caches store keys and values; nil takes f16 where the decoder's products are rounded far more than
    ///     that, with weights in blocks and activations of 8 bits, and f32 elsewhere.
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    package init(
        _ configuration: ModelConfiguration, _ weights: WeightScope, activations: Activations = .int8,
        towerActivations: Activations = .float32, keyValueType: KeyValueType? = nil
    ) throws {
        self.configuration = configuration
        let matrices = weights.multiplied(by: activations)
        device = weights.device
        let text = configuration.textConfig
        let language = matrices["model"]["language_model"]
        let head: Weight? =
            if let embeddingDim = text.embeddingDim {
                try language["embedding_projection"].weight("weight", [embeddingDim, text.hiddenSize])
            } else if !configuration.tieWordEmbeddings {
                try matrices["lm_head"].weight("weight", [text.vocabSize, text.hiddenSize])
            } else {
                nil
            }
        decoder = try Decoder(text, language, head: head)
        let isRounded = decoder.layers[0].attention.queryProjection.weight.isPacked
        self.keyValueType = keyValueType ?? (isRounded ? .float16 : .float32)
        keyValueSteps = try keyValueType == .int8 ? Self.keyValueSteps(decoder.plans, weights) : [:]
        let model = weights["model"]
        vision = try configuration.visionConfig.map {
            (
                try VisionTower($0, model["vision_tower"], activations: towerActivations),
                try MultimodalEmbedder($0.hiddenSize, text.hiddenSize, eps: $0.rmsNormEps, model["embed_vision"])
            )
        }
        audio = try configuration.audioConfig.map {
            (
                try AudioTower($0, model["audio_tower"], activations: towerActivations),
                try MultimodalEmbedder($0.outputProjDims, text.hiddenSize, eps: $0.rmsNormEps, model["embed_audio"])
            )
        }
        unifiedVision = try configuration.unifiedVisionConfig.map {
            try UnifiedVisionEmbedder($0, text.hiddenSize, model)
        }
        unifiedAudio = try configuration.unifiedAudioConfig.map {
            try MultimodalEmbedder($0.audioEmbedDim, text.hiddenSize, eps: $0.rmsNormEps, model["embed_audio"])
        }
    }

    /// Runs the tokens of several sequences in one pass over the weights.
    ///
    /// - Returns: the wanted rows of all sequences in their order, after the final norm, `[wanted, hiddenSize]`; see `logits`.
    /// - Throws: `ModelInputError`; then no cache has changed.
    package func callAsFunction(_ inputs: [Input]) throws -> Tensor {
        decoder(try inputs.map(decoderInput))
    }

    /// Rows of a pass of an encoder: few enough for what a layer makes of them to stay in the cores' caches, many enough for the
    /// weights to be read rarely.
    private static let rowsPerPass = 512

    /// The embeddings of several sequences, each read whole, many in a pass over the weights: the mean over all positions of what an
    /// encoder makes of them, not yet of unit length. (The projection is linear: that of the mean is the mean of those.)
    ///
    /// Source: transformers, `modeling_embedding_gemma2.py`, `EmbeddingGemma2TextModel`; sentence-transformers, `Pooling`.
    ///
    /// - Parameter inputs: at least one; a sequence of more rows than a pass has one of its own.
    /// - Returns: `[sequences, embeddingDim]`.
    /// - Throws: `ModelInputError`.
    package func embeddings(_ inputs: [(tokens: [Int], softTokens: Tensor?)]) throws -> Tensor {
        var means: [Tensor] = []
        var first = 0
        while first < inputs.count {
            var (end, rows) = (first + 1, inputs[first].tokens.count)
            while end < inputs.count, rows + inputs[end].tokens.count <= Self.rowsPerPass {
                rows += inputs[end].tokens.count
                end += 1
            }
            means.append(try meansOfRows(inputs[first..<end]))
            first = end
        }
        return logits(.concatenated(means))
    }

    /// The means over the rows of each of some sequences, read in one pass: `[sequences, hiddenSize]`.
    private func meansOfRows(_ inputs: ArraySlice<(tokens: [Int], softTokens: Tensor?)>) throws -> Tensor {
        let hidden = try self(
            inputs.map {
                Input(tokens: $0.tokens, softTokens: $0.softTokens, wantedRows: Array($0.tokens.indices), cache: nil)
            })
        let counts = inputs.map(\.tokens.count)
        var means = Tensor(zeros: [counts.count, hidden.columns], on: device)
        means.addRows(
            at: counts.enumerated().flatMap { Array(repeating: $0, count: $1) }, hidden,
            weights: counts.flatMap { Array(repeating: 1 / Float($0), count: $0) })
        return means
    }

    /// The logits of rows after the final norm, soft-capped: `[rows, hiddenSize]` to `[rows, vocabSize]`.
    package func logits(_ hidden: Tensor) -> Tensor { decoder.logits(hidden) }

    /// An empty cache for one sequence.
    package func makeCache() -> KVCache {
        KVCache(decoder.plans, type: keyValueType, steps: keyValueSteps)
    }

    /// The steps in which a checkpoint wants keys and values to be stored.
    ///
    /// - Throws: `CheckpointError` naming the tensor, if one is missing, or no positive number.
    private static func keyValueSteps(_ plans: [LayerPlan], _ weights: WeightScope) throws -> [Int: KeyValueSteps] {
        var steps: [Int: KeyValueSteps] = [:]
        for plan in plans where plan.ownsKeyValues {
            let attention = weights["model"]["language_model"]["layers"][plan.index]["self_attn"]
            steps[plan.index] = KeyValueSteps(
                keys: try attention.step("k_cache_scale"), values: try attention.step("v_cache_scale"))
        }
        return steps
    }

    /// Bytes that the cache of one sequence takes at most.
    ///
    /// - Parameter chunkLength: the most tokens that one pass brings.
    package func cacheByteCount(positions: Int, chunkLength: Int) -> Int {
        KVCache.byteCount(
            decoder.plans, positions: positions, chunkLength: chunkLength, type: keyValueType)
    }

    /// Whether the tokens of one image see each other in both directions, so that a pass takes images whole.
    package var readsImagesWhole: Bool { decoder.plans.contains(where: \.seesWholeImages) }

    /// Checks what a sequence is to read.
    ///
    /// - Parameters:
    ///   - position: tokens that precede these.
    ///   - softTokenCount: soft tokens given for the placeholders among them.
    /// - Throws: `ModelInputError`.
    package func check(_ tokens: [Int], at position: Int, softTokenCount: Int) throws {
        let text = configuration.textConfig
        if let unknown = tokens.first(where: { $0 < 0 || $0 >= text.vocabSize }) {
            throw ModelInputError(.unknownToken(id: unknown, vocabSize: text.vocabSize))
        }
        let needed = position + tokens.count
        guard needed <= text.maxPositionEmbeddings else {
            throw ModelInputError(.contextLength(needed: needed, limit: text.maxPositionEmbeddings))
        }
        let placeholders = tokens.count(where: isPlaceholder)
        guard placeholders == softTokenCount else {
            throw ModelInputError(.softTokenCount(expected: placeholders, found: softTokenCount))
        }
    }

    func decoderInput(_ input: Input) throws -> Decoder.Input {
        let text = configuration.textConfig
        try check(input.tokens, at: input.cache?.length ?? 0, softTokenCount: input.softTokens?.shape[0] ?? 0)
        let softRows = input.tokens.indices.filter { isPlaceholder(input.tokens[$0]) }
        return Decoder.Input(
            tokens: input.tokens.map { isPlaceholder($0) ? text.padTokenId : $0 }, softRows: softRows,
            softTokens: input.softTokens, blockEnds: blockEnds(input.tokens), wantedRows: input.wantedRows,
            cache: input.cache)
    }

    /// Whether a soft token stands in the place of this id.
    package func isPlaceholder(_ token: Int) -> Bool { isVisual(token) || token == configuration.audioTokenId }

    package func isVisual(_ token: Int) -> Bool {
        token == configuration.imageTokenId || token == configuration.videoTokenId
    }

    /// For each token one past the last of its run of image or video placeholders; its index + 1 for all others.
    private func blockEnds(_ tokens: [Int]) -> [Int] {
        var ends = tokens.indices.map { $0 + 1 }
        for index in tokens.indices.dropLast().reversed() where isVisual(tokens[index]) && isVisual(tokens[index + 1]) {
            ends[index] = ends[index + 1]
        }
        return ends
    }
}
