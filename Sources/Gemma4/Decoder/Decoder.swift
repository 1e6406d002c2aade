import Tensors
import Weights

/// The text decoder: embedding, layers, final norm, tied head, soft cap. The encoder of EmbeddingGemma 2 has the same
/// layers; instead of the head it has a projection to the width of embeddings.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4TextModel` and `Gemma4ForConditionalGeneration`;
/// `modeling_embedding_gemma2.py`, `EmbeddingGemma2TextModel`.
struct Decoder: Sendable {
    let plans: [LayerPlan]
    let embedding: Embedding
    let perLayerEmbedding: PerLayerEmbedding?  // E2B, E4B
    let layers: [DecoderLayer]
    let norm: RMSNorm
    /// `[vocabSize, hiddenSize]`, the embedding table if tied; encoder: [embeddingDim, hiddenSize].
    let head: Weight
    let softCap: Float?
    private let rotaryEmbeddings: Set<RotaryEmbedding>
    private let lastWritingLayer: Int

    /// One sequence's tokens in a pass.
    struct Input {
        /// Token ids; the pad id in the place of soft tokens.
        let tokens: [Int]
        /// The rows of soft tokens, ascending, and their values, `[n, hiddenSize]`.
        let softRows: [Int]
        let softTokens: Tensor?
        /// For each row, the end of the rows of its image or frame; row + 1 for all other tokens.
        let blockEnds: [Int]
        /// The rows whose output is needed, ascending.
        let wantedRows: [Int]
        /// Nil for an encoder.
        let cache: KVCache?
    }

    init(_ configuration: TextConfiguration, _ weights: WeightScope, head untied: Weight?) throws {
        plans = configuration.layerPlans
        embedding = try Embedding(
            configuration.vocabSize, configuration.hiddenSize,
            scale: Float(Double(configuration.hiddenSize).squareRoot()),
            weights["embed_tokens"])
        perLayerEmbedding =
            configuration.hiddenSizePerLayerInput > 0 ? try PerLayerEmbedding(configuration, weights) : nil
        // Pack the largest matrix first: both copies are in memory meanwhile.
        head =
            try untied ?? weights["embed_tokens"].weight("weight", [configuration.vocabSize, configuration.hiddenSize])
        layers = try plans.map { try DecoderLayer($0, weights["layers"][$0.index]) }
        norm = try RMSNorm(configuration.hiddenSize, eps: configuration.rmsNormEps, weights["norm"])
        softCap = configuration.finalLogitSoftcapping
        rotaryEmbeddings = Set(layers.map(\.attention.rotaryEmbedding))
        lastWritingLayer = plans.last { $0.ownsKeyValues }!.index
    }

    /// Runs the tokens of several sequences in one pass over the weights, each from the length of its cache.
    ///
    /// After the last layer that writes keys and values has written them, only the wanted rows are computed; the
    /// others are not needed. On E2B this is layer 14 of 35.
    ///
    /// - Parameter observe: called with every layer's output, `[rows, hiddenSize]`.
    /// - Returns: the wanted rows of all sequences, in order, after the final norm, `[wanted, hiddenSize]`.
    func callAsFunction(_ inputs: [Input], observe: ((_ layer: Int, _ stream: Tensor) -> Void)? = nil) -> Tensor {
        var tokens = inputs.flatMap(\.tokens)
        var embedded = embedding(tokens)
        var parts: [Pass.Part] = []
        var wanted: [Int] = []
        var first = 0
        for input in inputs {
            let start = input.cache?.length ?? 0
            parts.append(
                Pass.Part(
                    cache: input.cache, rows: first..<first + input.tokens.count,
                    positions: Array(start..<start + input.tokens.count), blockEnds: input.blockEnds.map { start + $0 })
            )
            wanted += input.wantedRows.map { first + $0 }
            if let soft = input.softTokens {
                for (index, row) in input.softRows.enumerated() {
                    embedded.replaceRows(from: first + row, with: soft[index..<index + 1])
                }
            }
            first += input.tokens.count
        }
        var pass = Pass(parts, rotaryEmbeddings: rotaryEmbeddings, on: head.device)
        var stream = embedded
        for layer in layers {
            var normed = layer.inputNorm(stream)
            layer.attention.writeKeyValues(normed, in: pass)
            if layer.plan.index == lastWritingLayer, wanted.count < tokens.count {
                pass.narrow(to: wanted)
                (stream, normed, embedded) = (
                    stream.gathered(wanted), normed.gathered(wanted), embedded.gathered(wanted)
                )
                tokens = wanted.map { tokens[$0] }
            }
            if tokens.isEmpty { break }
            let perLayerInput = perLayerEmbedding?(layer: layer.plan.index, tokens: tokens, embedded: embedded)
            stream = layer(stream, normed: normed, perLayerInput: perLayerInput, in: pass)
            observe?(layer.plan.index, stream)
        }
        for input in inputs { input.cache?.advance(by: input.tokens.count) }
        return norm(stream)
    }

    /// - Parameter hidden: `[rows, hiddenSize]`, after the final norm.
    /// - Returns: `[rows, vocabSize]`; for an encoder `[rows, embeddingDim]`.
    func logits(_ hidden: Tensor) -> Tensor {
        let logits = hidden.product(head)
        return softCap.map(logits.softCapped) ?? logits
    }
}
