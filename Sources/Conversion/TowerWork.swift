import Gemma4

/// Multiplications and additions of the towers' linear layers, convolutions and attention, counted as in `Benchmark`;
/// excludes elementwise operations and norms.
struct TowerWork {
    let configuration: ModelConfiguration

    private var textSize: Int { configuration.textConfig.hiddenSize }

    /// - Returns: operations for one image of `patches` patches that is encoded to `softTokens` soft tokens.
    func picture(patches: Int, softTokens: Int) -> Int {
        if let vision = configuration.unifiedVisionConfig {
            return 2 * patches * vision.mmEmbedDim * (vision.patchValues + textSize)
        }
        guard let vision = configuration.visionConfig else { return 0 }
        let (width, headDim) = (vision.hiddenSize, vision.headDim)
        let (queries, keys) = (vision.numAttentionHeads * headDim, vision.numKeyValueHeads * headDim)
        let weights = width * (2 * queries + 2 * keys + 3 * vision.intermediateSize)
        let layer = patches * weights + 2 * patches * patches * queries
        let ends = patches * width * 3 * vision.patchSize * vision.patchSize + softTokens * width * textSize
        return 2 * (vision.numHiddenLayers * layer + ends)
    }

    /// - Parameter melFrames: frames of the log-mel spectrogram; without a tower, frames of samples.
    /// - Returns: operations for one recording.
    func sound(frames melFrames: Int) -> Int {
        if let audio = configuration.unifiedAudioConfig { return 2 * melFrames * audio.audioEmbedDim * textSize }
        guard let audio = configuration.audioConfig else { return 0 }
        let (width, channels) = (audio.hiddenSize, audio.subsamplingConvChannels)
        let (halved, frames) = ((melFrames + 1) / 2, ((melFrames + 1) / 2 + 1) / 2)
        let (bins, quarter) = (64, 32)
        let convolutions = 9 * (halved * bins * channels[0] + frames * quarter * channels[0] * channels[1])
        // Two feed-forward networks of four times the width, four attention projections, three of the convolution
        // module.
        let weights = width * width * (2 * 8 + 4 + 3) + width * audio.convKernelSize
        // Scores of keys and of relative positions, and values.
        let attention = 3 * (audio.attentionContextLeft - 1) * width
        let ends =
            frames * (quarter * channels[1] * width + width * audio.outputProjDims + audio.outputProjDims * textSize)
        return 2 * (convolutions + audio.numHiddenLayers * frames * (weights + attention) + ends)
    }
}
