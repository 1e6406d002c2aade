import Tensors
import Weights

/// The sound encoder: log-mel frames to soft tokens of 40 ms, which the multimodal embedder projects into the text
/// stream.
///
/// One recording at a time, without padding or mask.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioModel`.
struct AudioTower: Sendable {
    let subsampling: SubsampleConvolution
    let layers: [ConformerLayer]
    let outputProjection: Linear
    let outputBias: Tensor  // [outputProjDims]

    /// - Parameters:
    ///   - weights: `model.audio_tower`.
    ///   - activations: the type of the activations that the clipped linears' quantized weights are multiplied by.
    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: AudioConfiguration, _ weights: WeightScope, activations: Activations = .float32) throws {
        let outputSize = configuration.outputProjDims
        subsampling = try SubsampleConvolution(configuration, weights["subsample_conv_projection"])
        let layerWeights = weights["layers"].multiplied(by: activations)
        layers = try (0..<configuration.numHiddenLayers).map { try ConformerLayer(configuration, layerWeights[$0]) }
        outputProjection = try Linear(configuration.hiddenSize, outputSize, weights["output_proj"])
        outputBias = try weights["output_proj"].tensor("bias", [outputSize]).widened()
    }

    /// - Parameter frames: `[frames, 128]`, log-mel with natural logarithms.
    /// - Returns: `[⌈frames / 4⌉, outputProjDims]`.
    func callAsFunction(_ frames: Tensor) -> Tensor {
        var job = EncoderJob(frames, stages)
        return job.finish()
    }

    /// The stages of the encoder: subsampling, layers, output projection.
    var stages: [EncoderJob.Stage] {
        [.whole { subsampling($0) }] + layers.flatMap(\.stages)
            + [.whole { outputProjection($0).adding(row: outputBias) }]
    }
}
