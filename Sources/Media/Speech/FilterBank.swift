import Foundation

/// Measures the power in bands of about 2/3 of an octave from 250 Hz to 4 kHz, which hold the formants of speech and
/// only faint overtones of hum.
///
/// Source: R. Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients", band-pass with 0 dB peak
/// gain; two of them in a row for each band.
struct FilterBank: Sendable {
    /// In hertz.
    static let centres = [250.0, 400, 640, 1_000, 1_600, 2_500, 4_000]
    private static let quality = 1.6

    private var filters: [(first: BandPass, second: BandPass)]

    init(sampleRate: Int) {
        filters = Self.centres.map {
            let filter = BandPass(centre: $0, quality: Self.quality, sampleRate: sampleRate)
            return (filter, filter)
        }
    }

    /// The mean power of the next `samples` in each band.
    mutating func power(_ samples: ArraySlice<Float>) -> [Float] {
        filters.indices.map { band in
            var (first, second) = filters[band]
            var sum: Float = 0
            for sample in samples {
                let filtered = second.next(first.next(sample))
                sum += filtered * filtered
            }
            filters[band] = (first, second)
            return sum / Float(samples.count)
        }
    }
}

/// One second-order section, transposed direct form II.
private struct BandPass: Sendable {
    private let gain, feedback1, feedback2: Float
    private var state1: Float = 0
    private var state2: Float = 0

    init(centre: Double, quality: Double, sampleRate: Int) {
        let angle = 2 * Double.pi * centre / Double(sampleRate)
        let alpha = sin(angle) / (2 * quality)
        gain = Float(alpha / (1 + alpha))
        feedback1 = Float(-2 * cos(angle) / (1 + alpha))
        feedback2 = Float((1 - alpha) / (1 + alpha))
    }

    @inline(__always)
    mutating func next(_ input: Float) -> Float {
        let output = gain * input + state1
        state1 = state2 - feedback1 * output
        state2 = -gain * input - feedback2 * output
        return output
    }
}
