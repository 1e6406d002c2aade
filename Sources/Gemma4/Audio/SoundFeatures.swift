/// Samples to the input features of a model, `[frames, features]`: log-mel frames for a sound encoder, or, where there is none,
/// the samples themselves.
///
/// Source of the latter: transformers, `feature_extraction_gemma4_unified.py`.
package enum SoundFeatures: Sendable {
    case logMel(MelSpectrogram)
    /// Frames one behind the other, as many samples as a soft token stands for.
    case samples(perToken: Int)

    /// - Parameter extractor: of log-mel frames.
    /// - Throws: `MelSpectrogramError` for what the released models do not use and this does not implement.
    package init(
        _ model: ModelConfiguration, _ extractor: MelSpectrogram.Configuration = .init()
    ) throws(MelSpectrogramError) {
        self =
            if let audio = model.unifiedAudioConfig {
                .samples(perToken: audio.audioEmbedDim)
            } else {
                .logMel(try MelSpectrogram(extractor))
            }
    }

    /// Numbers in a row.
    package var columns: Int {
        switch self {
        case .logMel(let spectrogram): spectrogram.configuration.featureSize
        case .samples(let perToken): perToken
        }
    }

    /// Whether a recording may be of any length; the encoders were trained on at most 30 s.
    package var takesAnyLength: Bool {
        switch self {
        case .logMel: false
        case .samples: true
        }
    }

    /// What a recording costs in the prompt; 0 where it is too short to be heard.
    package func softTokenCount(samples: Int) -> Int {
        switch self {
        case .logMel(let spectrogram): spectrogram.softTokenCount(samples: samples)
        case .samples(let perToken): (samples + perToken - 1) / perToken
        }
    }

    /// - Parameter samples: mono, at 16 kHz, nominally in [-1, 1].
    /// - Returns: `[rows, columns]`, row-major; what is missing of the last frame of samples is silence.
    /// - Throws: `MelSpectrogramError` if a sound encoder does not take a recording of that length.
    package func callAsFunction(_ samples: [Float]) throws(MelSpectrogramError) -> [Float] {
        switch self {
        case .logMel(let spectrogram): return try spectrogram(samples)
        case .samples:
            let missing = softTokenCount(samples: samples.count) * columns - samples.count
            return samples + [Float](repeating: 0, count: missing)
        }
    }
}
