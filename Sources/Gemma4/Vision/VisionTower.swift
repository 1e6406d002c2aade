import Tensors
import Weights

/// The image encoder: patches to soft tokens, which the multimodal embedder projects into the text stream.
///
/// One image at a time, without padding or mask.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4VisionModel`.
struct VisionTower: Sendable {
    let configuration: VisionConfiguration
    let device: Device
    let patchEmbedder: PatchEmbedder
    let layers: [VisionLayer]
    let pooler: VisionPooler

    /// - Parameters:
    ///   - weights: `model.vision_tower`.
    ///   - activations: the type of the activations that the clipped linears' quantized weights are multiplied by.
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(
        _ configuration: VisionConfiguration, _ weights: WeightScope, activations: Activations = .float32
    ) throws {
        self.configuration = configuration
        device = weights.device
        patchEmbedder = try PatchEmbedder(configuration, weights["patch_embedder"])
        let layerWeights = weights["encoder"]["layers"].multiplied(by: activations)
        layers = try (0..<configuration.numHiddenLayers).map { try VisionLayer(configuration, layerWeights[$0]) }
        pooler = try VisionPooler(configuration, weights)
    }

    /// - Parameters:
    ///   - patches: `[grid.count, patchSize² · 3]`, in 0...1.
    ///   - grid: both sides are multiples of `poolingKernelSize`.
    /// - Returns: `[grid.count / poolingKernelSize², hiddenSize]`.
    /// - Throws: `ModelInputError` if a side is longer than the table of positions.
    func callAsFunction(_ patches: Tensor, _ grid: PatchGrid) throws(ModelInputError) -> Tensor {
        pooler(try encoded(patches, grid), grid)
    }

    /// The output of the last layer: `[grid.count, hiddenSize]`.
    func encoded(_ patches: Tensor, _ grid: PatchGrid) throws(ModelInputError) -> Tensor {
        var job = EncoderJob(patches, try stages(grid).dropLast())
        return job.finish()
    }

    /// The stages of the encoder: patch embedder, layers, pooler.
    ///
    /// - Throws: `ModelInputError` if a side is longer than the table of positions.
    func stages(_ grid: PatchGrid) throws(ModelInputError) -> [EncoderJob.Stage] {
        let longest = max(grid.columns, grid.rows)
        guard longest <= configuration.positionEmbeddingSize else {
            throw ModelInputError(.imageSide(patches: longest, limit: configuration.positionEmbeddingSize))
        }
        let angles = AxialAngles(configuration, grid, on: device)
        let start = EncoderJob.Stage.eachRow { patches, rows in
            precondition(patches.rows == grid.count, "VisionTower: \(patches.shape) for \(grid)")
            return patchEmbedder(patches[rows], rows, of: grid)
        }
        let layers = layers.map { layer in
            EncoderJob.Stage.attention(
                keyValues: { layer.keyValues($0[$1], angles[$1]) },
                apply: { layer($0[$1], angles[$1], attendingTo: $2) })
        }
        return [start] + layers + [.whole { pooler($0, grid) }]
    }
}
