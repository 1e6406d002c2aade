/// Samples to the input features of a model, `[frames, features]`: log-mel frames for a sound encoder, or the samples
/// themselves if the model has none.
///
/// Source of the latter: transformers, `feature_extraction_gemma4_unified.py`.
package enum SoundFeatures: Sendable {
    case logMel(MelSpectrogram)
    /// Consecutive frames of samples, one frame per soft token.
    case samples(perToken: Int)

    /// - Parameter extractor: the configuration of log-mel frames.
    /// - Throws: `MelSpectrogramError` for settings that the released models do not use and that are not
    ///   implemented.
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

    /// Features per frame.
    package var columns: Int {
        switch self {
        case .logMel(let spectrogram): spectrogram.configuration.featureSize
        case .samples(let perToken): perToken
        }
    }

    /// Whether a recording may have any length; the encoders were trained on at most 30 s.
    package var takesAnyLength: Bool {
        switch self {
        case .logMel: false
        case .samples: true
        }
    }

    /// Soft tokens of a recording in the prompt; 0 if it is too short.
    package func softTokenCount(samples: Int) -> Int {
        switch self {
        case .logMel(let spectrogram): spectrogram.softTokenCount(samples: samples)
        case .samples(let perToken): (samples + perToken - 1) / perToken
        }
    }

    /// - Parameter samples: mono, at 16 kHz, nominally in [-1, 1].
    /// - Returns: `[rows, columns]`, row-major; the last frame of samples is padded with silence.
    /// - Throws: `MelSpectrogramError` if the sound encoder does not accept a recording of that length.
    package func callAsFunction(_ samples: [Float]) throws(MelSpectrogramError) -> [Float] {
        switch self {
        case .logMel(let spectrogram): return try spectrogram(samples)
        case .samples:
            let missing = softTokenCount(samples: samples.count) * columns - samples.count
            return samples + [Float](repeating: 0, count: missing)
        }
    }
}
