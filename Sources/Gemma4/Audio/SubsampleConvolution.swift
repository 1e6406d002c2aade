import Tensors
import Weights

/// Log-mel frames to a quarter of the frames, at the width of the encoder: two strided convolutions, then a
/// projection.
///
/// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioSubSampleConvProjection`.
struct SubsampleConvolution: Sendable {
    let layers: [HalvingLayer]
    let projection: Linear

    /// Mel bins of a frame; two convolutions of stride 2 leave a quarter.
    static let melBins = 128

    /// - Throws: `CheckpointError` naming the tensor, if one is missing or has another shape.
    init(_ configuration: AudioConfiguration, _ weights: WeightScope) throws {
        let channels = [1] + configuration.subsamplingConvChannels
        layers = try (0..<2).map { index in
            let (input, output) = (channels[index], channels[index + 1])
            return try HalvingLayer(input, output, eps: configuration.rmsNormEps, weights["layer\(index)"])
        }
        projection = try Linear(Self.melBins / 4 * channels[2], configuration.hiddenSize, weights["input_proj_linear"])
    }

    /// `[frames, melBins]` to `[⌈frames / 4⌉, hiddenSize]`.
    func callAsFunction(_ frames: Tensor) -> Tensor {
        let image = frames.reshaped([frames.rows, Self.melBins, 1])
        return projection(layers.reduce(image) { $1($0) }.mergeHeads())  // index f · channels + c
    }

    /// Convolution over time and frequency, layer norm over channels, ReLU.
    ///
    /// Source: transformers, `modeling_gemma4.py`, `Gemma4AudioSubSampleConvProjectionLayer`.
    struct HalvingLayer: Sendable {
        let convolution: Tensor  // [outputChannels, 3 · 3 · inputChannels], channels fastest
        let norm: Tensor  // [outputChannels]
        let eps: Float

        init(_ inputChannels: Int, _ outputChannels: Int, eps: Float, _ weights: WeightScope) throws {
            let taps = 9
            let stored = try weights["conv"].tensor("weight", [outputChannels, inputChannels, 3, 3]).toArray()
            let channelsFastest = (0..<stored.count).map { index in
                let (output, rest) = index.quotientAndRemainder(dividingBy: taps * inputChannels)
                return stored[(output * inputChannels + rest % inputChannels) * taps + rest / inputChannels]
            }
            convolution = Tensor(channelsFastest, [outputChannels, taps * inputChannels], on: weights.device)
            norm = try weights["norm"].tensor("weight", [outputChannels]).widened()
            self.eps = eps
        }

        /// `[time, frequency, inputChannels]` to `[⌈time/2⌉, ⌈frequency/2⌉, outputChannels]`.
        func callAsFunction(_ image: Tensor) -> Tensor {
            image.halvingConvolution(convolution).layerNormalized(norm, eps: eps).clamped(0, .infinity)
        }
    }
}
