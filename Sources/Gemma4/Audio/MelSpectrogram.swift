import Foundation

/// Samples to log-mel frames, the audio tower's input.
///
/// Frame i is centered on sample `hopLength * i`, with silence before the first; only frames that end within the
/// recording are computed (the reference computes more and masks them). Hann window, magnitude (not power) spectrum,
/// triangular filters on the HTK mel scale without area normalization, ln(mel + melFloor).
///
/// Within 1e-6 of the reference: its transform is 32-bit, this one 64-bit (the product with the window is 32-bit in
/// both).
///
/// Source: transformers, `feature_extraction_gemma4.py`, `audio_utils.mel_filter_bank`.
package struct MelSpectrogram: Sendable {
    /// Keys of `feature_extractor` in `processor_config.json`. Absent keys have the defaults of the reference's
    /// class.
    package struct Configuration: Hashable, Sendable {
        package var samplingRate = 16_000
        package var featureSize = 128
        package var frameLength = 320
        package var hopLength = 160
        package var fftLength = 512
        package var minFrequency = 0.0
        package var maxFrequency = 8_000.0
        package var melFloor = 0.001
        package var preemphasis = 0.0
        package var dither = 0.0
        package var inputScaleFactor = 1.0

        package init() {}
    }

    /// 30 s, the length that the encoder was trained on. The reference silently truncates longer audio; we reject it.
    package static let maxSamples = 480_000

    package let configuration: Configuration
    private let window: [Float]
    private let transform: RealFourierTransform
    private let filters: [Filter]

    /// - Throws: `MelSpectrogramError` for settings that the released models do not use and that are not
    ///   implemented.
    package init(_ configuration: Configuration) throws(MelSpectrogramError) {
        try Self.check(configuration)
        self.configuration = configuration
        window = (0..<configuration.frameLength).map {
            Float(0.5 - 0.5 * cos(2 * Double.pi * Double($0) / Double(configuration.frameLength)))
        }
        transform = RealFourierTransform(size: configuration.fftLength)
        filters = Self.filters(configuration)
    }

    /// Frames of a recording; 0 if it is shorter than one frame.
    package func frameCount(samples: Int) -> Int {
        let reach = configuration.frameLength / 2 + 1  // from a frame's center to one sample past its end
        return samples < reach ? 0 : (samples - reach) / configuration.hopLength + 1
    }

    /// Soft tokens of a recording in the prompt: one per four frames, rounded up.
    package func softTokenCount(samples: Int) -> Int { (frameCount(samples: samples) + 3) / 4 }

    /// - Parameter samples: mono, at `samplingRate`, nominally in [-1, 1].
    /// - Returns: `[frameCount, featureSize]`.
    package func callAsFunction(_ samples: [Float]) throws(MelSpectrogramError) -> [Float] {
        let shortest = configuration.frameLength / 2 + 1
        guard (shortest...Self.maxSamples).contains(samples.count) else {
            throw MelSpectrogramError(
                code: .length, expected: "\(shortest) to \(Self.maxSamples) samples (30 s)", found: "\(samples.count)",
                remedy: samples.count < shortest ? "give a longer recording" : "split the recording at pauses")
        }
        let count = frameCount(samples: samples.count)
        var features: [Float] = []
        features.reserveCapacity(count * configuration.featureSize)
        var frame = [Double](repeating: 0, count: configuration.fftLength)
        for index in 0..<count {
            let start = index * configuration.hopLength - configuration.frameLength / 2
            for j in 0..<configuration.frameLength {
                frame[j] = start + j < 0 ? 0 : Double(samples[start + j] * window[j])
            }
            let magnitudes = transform.magnitudes(of: frame)
            for filter in filters {
                features.append(Float(log(filter.sum(of: magnitudes) + configuration.melFloor)))
            }
        }
        return features
    }

    private static func check(_ configuration: Configuration) throws(MelSpectrogramError) {
        func require(_ holds: Bool, _ expected: String, _ found: Any) throws(MelSpectrogramError) {
            if holds { return }
            throw MelSpectrogramError(
                code: .configuration, expected: expected, found: "\(found)",
                remedy: "use the processor_config.json published with the model")
        }
        let c = configuration
        try require(c.samplingRate == 16_000, "sampling_rate 16000", c.samplingRate)
        try require(
            (4...65_536).contains(c.fftLength) && c.fftLength.nonzeroBitCount == 1,
            "fft_length a power of two within 4...65536", c.fftLength)
        try require((2...c.fftLength).contains(c.frameLength), "frame_length within 2...fft_length", c.frameLength)
        try require((1...c.frameLength).contains(c.hopLength), "hop_length within 1...frame_length", c.hopLength)
        try require((1...1_024).contains(c.featureSize), "feature_size within 1...1024", c.featureSize)
        try require(
            0 <= c.minFrequency && c.minFrequency < c.maxFrequency && c.maxFrequency <= Double(c.samplingRate) / 2,
            "0 <= min_frequency < max_frequency <= 8000", "\(c.minFrequency) and \(c.maxFrequency)")
        try require(c.melFloor > 0 && c.melFloor.isFinite, "mel_floor above 0", c.melFloor)
        try require(c.preemphasis == 0, "preemphasis 0", c.preemphasis)
        try require(c.dither == 0, "dither 0", c.dither)
        try require(c.inputScaleFactor == 1, "input_scale_factor 1", c.inputScaleFactor)
    }
}

/// The nonzero part of a triangular filter over frequency bins.
private struct Filter: Sendable {
    let firstBin: Int
    let weights: [Double]

    func sum(of magnitudes: [Double]) -> Double {
        var sum = 0.0
        for (index, weight) in weights.enumerated() { sum += weight * magnitudes[firstBin + index] }
        return sum
    }
}

extension MelSpectrogram {
    /// `featureSize` triangular filters with corners equally spaced on the HTK scale, mel(f) = 2595 log10(1 + f/700).
    private static func filters(_ configuration: Configuration) -> [Filter] {
        func mel(_ hertz: Double) -> Double { 2595 * log10(1 + hertz / 700) }
        let (low, high) = (mel(configuration.minFrequency), mel(configuration.maxFrequency))
        let corners = (0..<configuration.featureSize + 2).map { index in
            let mel = low + (high - low) * Double(index) / Double(configuration.featureSize + 1)
            return 700 * (pow(10, mel / 2595) - 1)
        }
        let bins = (0...configuration.fftLength / 2).map {
            Double($0) * Double(configuration.samplingRate) / Double(configuration.fftLength)
        }
        return (0..<configuration.featureSize).map { j in
            let weights = bins.map { frequency in
                let rising = (frequency - corners[j]) / (corners[j + 1] - corners[j])
                let falling = (corners[j + 2] - frequency) / (corners[j + 2] - corners[j + 1])
                return max(0, min(rising, falling))
            }
            guard let first = weights.firstIndex(where: { $0 > 0 }), let last = weights.lastIndex(where: { $0 > 0 })
            else {
                return Filter(firstBin: 0, weights: [])  // between two bins: always ln(melFloor), as in the reference
            }
            return Filter(firstBin: first, weights: Array(weights[first...last]))
        }
    }
}

/// An input or configuration that the mel spectrogram rejects.
package struct MelSpectrogramError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// A front end that differs from the released models'.
        case configuration
        /// Shorter than one frame, or longer than the model accepts at once.
        case length
    }

    package let code: Code
    package let expected: String
    package let found: String
    package let remedy: String

    package var description: String { "audio features: expected \(expected), found \(found); \(remedy)." }
}
