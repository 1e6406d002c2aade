import Foundation

/// How the channels of a recording are processed.
public enum AudioChannels: String, Sendable, CaseIterable {
    /// Downmix to one channel: the mean.
    case mix
    /// Keep each channel apart.
    case split
}

/// Converts interleaved frames to 16 kHz: one array per channel, all of equal length.
struct ChannelStream: ~Copyable, Sendable {
    private let name: String
    private let sampleRate: Int
    private let channels: Int
    /// Number of output channels.
    private let outputs: Int
    private var resampler: Resampler?
    private var framesSeen = 0

    init(_ name: String, sampleRate: Int, channels: Int, output: AudioChannels) throws(MediaError) {
        self.name = name
        self.sampleRate = sampleRate
        self.channels = channels
        outputs = output == .mix ? 1 : channels
        guard sampleRate != AudioReader.sampleRate else { return }
        resampler = Resampler(from: sampleRate, to: AudioReader.sampleRate, channels: outputs)
        if resampler == nil {
            throw MediaError(
                code: .outOfMemory, source: name, expected: "a resampler for \(sampleRate) Hz", found: "none",
                remedy: "convert with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav")
        }
    }

    /// - Parameter interleaved: `[frames, channels]`.
    /// - Throws: `MediaError` if a sample is NaN or infinite: a single one would spoil the whole result.
    mutating func append(_ interleaved: [Float]) throws(MediaError) -> [[Float]] {
        let samples = outputs == channels ? interleaved : mean(interleaved)
        if let bad = samples.firstIndex(where: { !$0.isFinite }) {
            let seconds = Double(framesSeen + bad / outputs) / Double(sampleRate)
            throw MediaError(
                code: .malformed, source: name, expected: "finite samples",
                found: "\(samples[bad]) at \(String(format: "%.2f", seconds)) s", remedy: "export the recording again")
        }
        framesSeen += samples.count / outputs
        return separate(resampler?.append(samples) ?? samples)
    }

    mutating func finish() -> [[Float]] { separate(resampler?.finish() ?? []) }

    private func separate(_ interleaved: [Float]) -> [[Float]] {
        guard outputs > 1 else { return [interleaved] }
        return (0..<outputs).map { channel in
            stride(from: channel, to: interleaved.count, by: outputs).map { interleaved[$0] }
        }
    }

    /// The mean of the channels, or the first channel if they cancel: a cable or recorder that inverts the phase of one
    /// of two channels would otherwise leave silence.
    private func mean(_ interleaved: [Float]) -> [Float] {
        var (apart, together) = (0.0, 0.0)
        let mean = (0..<interleaved.count / channels).map { frame in
            var sum: Float = 0
            for channel in 0..<channels {
                let sample = interleaved[frame * channels + channel]
                sum += sample
                apart += Double(sample) * Double(sample)
            }
            let mean = sum / Float(channels)
            together += Double(mean) * Double(mean)
            return mean
        }
        guard channels == 2, together < Self.cancelled * apart / 2 else { return mean }
        return stride(from: 0, to: interleaved.count, by: 2).map { interleaved[$0] }
    }

    /// -20 dB: uncorrelated channels keep half of their power.
    private static let cancelled = 0.01
}
