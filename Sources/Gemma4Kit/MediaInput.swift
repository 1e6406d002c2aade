import Foundation
import Media

/// A picture, a recording or a film, as the caller has it.
public enum MediaInput: Sendable {
    case image(ImageInput)
    case audio(AudioInput)
    case video(VideoInput)
}

/// A picture, as the caller has it.
public enum ImageInput: Sendable {
    case file(URL)
    /// An encoded file in memory: PNG, JPEG, WebP, or what `PictureConverter` reads.
    case bytes(Data, name: String = "image")
    case pixels(Pixels)

    /// Decodes it.
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

/// A recording, as the caller has it.
public enum AudioInput: Sendable {
    case file(URL)
    /// An encoded file in memory: WAV, FLAC, OGG, MP3, AIFF and whatever else libsndfile opens.
    case bytes(Data, name: String = "recording")
    /// Mono samples in [−1, 1].
    case samples([Float], sampleRate: Int)
    /// Raw samples from a pipe, while they come.
    case pcm(PCMStream)

    /// What errors call it.
    var name: String {
        switch self {
        case .file(let url): url.path
        case .bytes(_, let name): name
        case .samples: "samples"
        case .pcm(let pipe): pipe.name
        }
    }

    /// Whether it is spoken while it is read.
    var isLive: Bool {
        if case .pcm = self { true } else { false }
    }

    /// Opens it for reading block by block.
    ///
    /// - Throws: `MediaError`.
    func open(_ channels: AudioChannels) throws -> any SoundSource {
        switch self {
        // Of films the channels are mixed in any case.
        case .file(let url) where FilmSound.reads(url): try FilmSound(url)
        case .file(let url): RecordedSound(try AudioReader(url, channels: channels))
        case .bytes(let data, let name): RecordedSound(try AudioReader(data, name: name, channels: channels))
        case .samples: SampledSound(try samples())
        case .pcm(let pipe): try PipedSound(pipe)
        }
    }

    /// Mono samples at 16 kHz.
    ///
    /// - Throws: `MediaError`.
    func samples() throws -> [Float] {
        switch self {
        case .bytes(let data, let name):
            var reader = try AudioReader(data, name: name)
            return try reader.readAll()
        case .samples(let samples, let sampleRate):
            return try AudioReader.convert(interleaved: samples, sampleRate: sampleRate)
        case .file, .pcm:
            let sound = try open(.mix)
            var samples: [Float] = []
            while let block = try sound.readChannels() { samples += block[0] }
            return samples
        }
    }
}
