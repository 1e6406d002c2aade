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
    public func pixels() throws -> Pixels {
        switch self {
        case .file(let url): try ImageReader().read(url)
        case .bytes(let data, let name): try ImageReader().read(data, name: name)
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
    /// - Parameter notify: called with notices for the user about the recording.
    /// - Throws: `MediaError`, also if the recording is damaged or longer than six hours.
    package func samples(_ notify: (MediaNotice) -> Void = { _ in }) throws -> [Float] {
        let sound = try open()
        var samples: [Float] = []
        while let block = try sound.readChannels() {
            try Task.checkCancellation()
            samples += block[0]
            if samples.count > Self.mostSamples {
                throw MediaError(
                    code: .tooLarge, source: name, expected: "at most 6 hours of sound", found: "more",
                    remedy: "split the recording into shorter files")
            }
        }
        sound.notices.forEach(notify)
        return samples
    }

    private static let mostSamples = 6 * 3600 * AudioReader.sampleRate
}
