/// The bytes of a safetensors file: a header as given, and data.
package func safetensorsFile(header: String, data: [UInt8] = [], statedLength: UInt64? = nil) -> [UInt8] {
    let length = statedLength ?? UInt64(header.utf8.count)
    return withUnsafeBytes(of: length.littleEndian, Array.init) + Array(header.utf8) + data
}

/// The bytes of a safetensors file that holds tensors of zeros, in the order given.
package func safetensorsFile(zeros tensors: [(name: String, shape: [Int])], type: String = "BF16") -> [UInt8] {
    var offset = 0
    let entries = tensors.map { tensor -> String in
        let begin = offset
        offset += tensor.shape.reduce(type == "F32" ? 4 : 2, *)
        return
            "\"\(tensor.name)\": {\"dtype\": \"\(type)\", \"shape\": \(tensor.shape), \"data_offsets\": [\(begin), \(offset)]}"
    }
    return safetensorsFile(
        header: "{\"__metadata__\": {\"format\": \"pt\"}\(entries.map { ", " + $0 }.joined())}",
        data: [UInt8](repeating: 0, count: offset))
}
