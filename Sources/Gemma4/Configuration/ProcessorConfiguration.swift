import Weights

/// `processor_config.json`: how media become soft tokens. The file is optional, and so is each key.
///
/// `image_seq_length` and `audio_seq_length` are not read: they are upper limits in the reference, never the count of
/// an input.
///
/// Source: transformers, `image_processing_gemma4.py`, `video_processing_gemma4.py`, `feature_extraction_gemma4.py`.
package struct ProcessorConfiguration: Sendable, Hashable {
    /// The budgets that the reference accepts.
    package static let softTokenBudgets = [70, 140, 280, 560, 1120]

    /// Maximum soft tokens of an image.
    package let imageMaxSoftTokens: Int
    /// Maximum soft tokens of a frame of a video.
    package let videoMaxSoftTokens: Int
    /// Frames sampled from a video.
    package let videoNumFrames: Int
    /// EmbeddingGemma 2 samples `videoFps` frames per second, at most `videoMaxFrames`.
    package let videoFps: Double
    package let videoMaxFrames: Int
    /// How samples become log-mel frames; the defaults if the model's input is the samples themselves.
    package let featureExtractor: MelSpectrogram.Configuration

    /// - Parameter file: path of a `processor_config.json`; if nil or not existing, the reference's defaults apply.
    /// - Throws: `CheckpointError` with the path of the key that has an invalid value.
    package init(contentsOf file: String?) throws(CheckpointError) {
        var root = ConfigurationObject(file: file ?? "", path: "", members: [])
        if let file {
            do {
                root = try ConfigurationObject(contentsOf: file)
            } catch  where error.code == .fileNotFound {}
        }
        func part(_ key: String) throws(CheckpointError) -> ConfigurationObject {
            try root.objectIfPresent(key) ?? ConfigurationObject(file: root.file, path: key, members: [])
        }
        let video = try part("video_processor")
        let image = try part("image_processor")
        for object in [image, video] { try Self.checkScaling(object) }
        imageMaxSoftTokens = try Self.budget(image, default: 280)
        videoMaxSoftTokens = try Self.budget(video, default: 70)
        videoNumFrames = try video.integerIfPresent("num_frames", in: 1...65_536) ?? 32
        videoFps = try video.numberIfPresent("fps", in: 0.001...1_000) ?? 1
        videoMaxFrames = try video.integerIfPresent("max_frames", in: 1...65_536) ?? 32
        try video.require("overflow_strategy", only: "uniform")
        let extractor = try part("feature_extractor")
        // The input of the 12B is samples; its config.json also states their count per soft token.
        let hearsSamples = try extractor.integerIfPresent("audio_samples_per_token") != nil
        featureExtractor = try hearsSamples ? .init() : .init(extractor)
        let samplingRate = try extractor.integerIfPresent("sampling_rate", in: 1...1_000_000) ?? 16_000
        guard !hearsSamples || samplingRate == 16_000 else {
            throw extractor.invalid("sampling_rate", expected: "16000", found: "\(samplingRate)")
        }
    }

    /// Pixels are divided by 255: no other scaling is implemented.
    private static func checkScaling(_ object: ConfigurationObject) throws(CheckpointError) {
        let factor = try object.numberIfPresent("rescale_factor", in: 0...1e6) ?? 1 / 255
        let isApplied = try object.flag("do_rescale", default: true)
        guard isApplied, abs(factor * 255 - 1) < 1e-6 else {
            throw object.invalid(
                "rescale_factor", expected: "1/255, applied", found: isApplied ? "\(factor)" : "do_rescale false")
        }
    }

    private static func budget(_ object: ConfigurationObject, default absent: Int) throws(CheckpointError) -> Int {
        let budget = try object.integerIfPresent("max_soft_tokens") ?? absent
        guard softTokenBudgets.contains(budget) else {
            throw object.invalid(
                "max_soft_tokens", expected: "one of \(softTokenBudgets.map(String.init).joined(separator: ", "))",
                found: "\(budget)")
        }
        return budget
    }
}

extension MelSpectrogram.Configuration {
    /// Absent keys have the reference's defaults.
    init(_ object: ConfigurationObject) throws(CheckpointError) {
        self.init()
        samplingRate = try object.integerIfPresent("sampling_rate", in: 1...1_000_000) ?? samplingRate
        featureSize = try object.integerIfPresent("feature_size", in: 1...4_096) ?? featureSize
        guard featureSize == SubsampleConvolution.melBins else {
            throw object.invalid(
                "feature_size", expected: "\(SubsampleConvolution.melBins), the mel bands that the audio tower takes",
                found: "\(featureSize)")
        }
        frameLength = try object.integerIfPresent("frame_length", in: 1...65_536) ?? frameLength
        hopLength = try object.integerIfPresent("hop_length", in: 1...65_536) ?? hopLength
        fftLength = try object.integerIfPresent("fft_length", in: 1...65_536) ?? fftLength
        minFrequency = try object.numberIfPresent("min_frequency", in: 0...1e6) ?? minFrequency
        maxFrequency = try object.numberIfPresent("max_frequency", in: 0...1e6) ?? maxFrequency
        melFloor = try object.numberIfPresent("mel_floor", above: 0) ?? melFloor
        preemphasis = try object.numberIfPresent("preemphasis", in: -1e6...1e6) ?? preemphasis
        dither = try object.numberIfPresent("dither", in: -1e6...1e6) ?? dither
        inputScaleFactor = try object.numberIfPresent("input_scale_factor", in: -1e6...1e6) ?? inputScaleFactor
    }
}
