import Foundation
import Media
import Transcription

/// An image, a recording or a video, provided by the caller.
public enum MediaInput: Sendable {
    case image(ImageInput)
    case audio(AudioInput)
    case video(VideoInput)
}

/// An image, provided by the caller.
public enum ImageInput: Sendable {
    case file(URL)
    /// An encoded file in memory: PNG, JPEG, WebP, or a format that `PictureConverter` reads.
    case bytes(Data, name: String = "image")
    case pixels(Pixels)

    /// Decodes the image.
    ///
    /// - Throws: `MediaError`.
    public func pixels() throws -> Pixels { try pixels(maxPixels: nil) }

    /// Decodes the image unless its header declares more than `maxPixels` pixels.
    ///
    /// - Throws: `MediaError`.
    package func pixels(maxPixels: Int?) throws -> Pixels {
        let reader = ImageReader(maxPixels: maxPixels ?? ImageReader.defaultMaxPixels)
        return switch self {
        case .file(let url): try reader.read(url)
        case .bytes(let data, let name): try reader.read(data, name: name)
        case .pixels(let pixels): pixels
        }
    }
}

/// A recording, provided by the caller.
public enum AudioInput: Sendable {
    case file(URL)
    /// An encoded file in memory: WAV, FLAC, OGG, MP3, AIFF, or a format that an `ffmpeg` on the PATH reads.
    case bytes(Data, name: String = "recording")
    /// An encoded file, read from a pipe to its end.
    case descriptor(Int32, name: String)
    /// Mono samples in [−1, 1].
    case samples([Float], sampleRate: Int)
    /// Raw samples from a pipe, live.
    case pcm(PCMStream)

    /// The name in error messages.
    var name: String {
        switch self {
        case .file(let url): url.path
        case .bytes(_, let name), .descriptor(_, let name): name
        case .samples: "samples"
        case .pcm(let pipe): pipe.name
        }
    }

    /// Whether it is live.
    var isLive: Bool {
        if case .pcm = self { true } else { false }
    }

    /// Opens the recording for reading block by block.
    ///
    /// - Throws: `MediaError`.
    func open(_ options: TranscriptionOptions = .init()) throws -> any SoundSource {
        func isCancelled() -> Bool { Task.isCancelled }
        return switch self {
        case .file(let url):
            try SoundSources.open(
                url, channels: options.channels, track: options.track, isCancelled: isCancelled)
        case .descriptor(let descriptor, let name):
            try SoundSources.open(
                descriptor, name: name, channels: options.channels, track: options.track, isCancelled: isCancelled)
        case .bytes(let data, let name):
            try SoundSources.open(data, name: name, channels: options.channels, track: options.track)
        case .samples(let samples, let sampleRate):
            SampledSound(try AudioReader.convert(interleaved: samples, sampleRate: sampleRate))
        case .pcm(let pipe): try PipedSound(pipe)
        }
    }

    /// Mono samples at 16 kHz.
    ///
    /// - Parameters:
    ///   - maxSeconds: nil: six hours.
    ///   - notify: called with notices for the user about the recording.
    /// - Throws: `MediaError`, also if the recording is damaged or longer than the limit.
    package func samples(maxSeconds: Double? = nil, _ notify: (MediaNotice) -> Void = { _ in }) throws -> [Float] {
        let limit = min(maxSeconds ?? .infinity, Self.mostSeconds)
        let sound = try open()
        var samples: [Float] = []
        while let block = try sound.readChannels() {
            try Task.checkCancellation()
            samples += block[0]
            if Double(samples.count) > limit * Double(AudioReader.sampleRate) {
                throw MediaError(
                    code: .tooLarge, source: name, expected: "at most \(Int(limit)) s of sound", found: "more",
                    remedy: "split the recording into shorter files")
            }
        }
        sound.notices.forEach(notify)
        return samples
    }

    private static let mostSeconds = 6.0 * 3600
}
