# fmt: off
"""Messages of the prediction service. Generated from predict.proto by generate.py: do not edit."""

from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass

DESCRIPTOR = Default().AddSerializedFile(
    b'\n#windtunnel_prediction/predict.proto\x12\x15w'
    b'indtunnel.prediction"\x99\x01\n\x0bTensorShape\x128\n\x03'
    b'dim\x18\x02 \x03(\x0b2&.windtunnel.prediction.Tensor'
    b'Shape.DimR\x03dim\x12!\n\x0cunknown_rank\x18\x03 \x01(\x08R\x0bun'
    b'knownRank\x1a-\n\x03Dim\x12\x12\n\x04size\x18\x01 \x01(\x03R\x04size\x12\x12\n\x04'
    b'name\x18\x02 \x01(\tR\x04name"\xfe\x03\n\x06Tensor\x12\x14\n\x05dtype\x18\x01 \x01'
    b'(\x05R\x05dtype\x12E\n\x0ctensor_shape\x18\x02 \x01(\x0b2".windtu'
    b'nnel.prediction.TensorShapeR\x0btensorShape'
    b'\x12%\n\x0eversion_number\x18\x03 \x01(\x05R\rversionNumber\x12'
    b'%\n\x0etensor_content\x18\x04 \x01(\x0cR\rtensorContent\x12\x1b'
    b'\n\tfloat_val\x18\x05 \x03(\x02R\x08floatVal\x12\x1d\n\ndouble_va'
    b'l\x18\x06 \x03(\x01R\tdoubleVal\x12\x17\n\x07int_val\x18\x07 \x03(\x05R\x06int'
    b'Val\x12\x1d\n\nstring_val\x18\x08 \x03(\x0cR\tstringVal\x12!\n\x0csc'
    b'omplex_val\x18\t \x03(\x02R\x0bscomplexVal\x12\x1b\n\tint64_v'
    b'al\x18\n \x03(\x03R\x08int64Val\x12\x19\n\x08bool_val\x18\x0b \x03(\x08R\x07bo'
    b'olVal\x12!\n\x0cdcomplex_val\x18\x0c \x03(\x01R\x0bdcomplexVal'
    b'\x12\x19\n\x08half_val\x18\r \x03(\x05R\x07halfVal\x12\x1d\n\nuint32_va'
    b'l\x18\x10 \x03(\rR\tuint32Val\x12\x1d\n\nuint64_val\x18\x11 \x03(\x04R\t'
    b'uint64Val"\x1f\n\x07Version\x12\x14\n\x05value\x18\x01 \x01(\x03R\x05val'
    b'ue"\x80\x01\n\tModelSpec\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x128\n\x07'
    b'version\x18\x02 \x01(\x0b2\x1e.windtunnel.prediction.Ve'
    b'rsionR\x07version\x12%\n\x0esignature_name\x18\x03 \x01(\tR\r'
    b'signatureName"\x9b\x02\n\x0ePredictRequest\x12?\n\nmode'
    b'l_spec\x18\x01 \x01(\x0b2 .windtunnel.prediction.Mod'
    b'elSpecR\tmodelSpec\x12I\n\x06inputs\x18\x02 \x03(\x0b21.wind'
    b'tunnel.prediction.PredictRequest.InputsE'
    b'ntryR\x06inputs\x12#\n\routput_filter\x18\x03 \x03(\tR\x0cout'
    b'putFilter\x1aX\n\x0bInputsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03k'
    b'ey\x123\n\x05value\x18\x02 \x01(\x0b2\x1d.windtunnel.predictio'
    b'n.TensorR\x05value:\x028\x01"\xfc\x01\n\x0fPredictResponse\x12'
    b'M\n\x07outputs\x18\x01 \x03(\x0b23.windtunnel.prediction'
    b'.PredictResponse.OutputsEntryR\x07outputs\x12?'
    b'\n\nmodel_spec\x18\x02 \x01(\x0b2 .windtunnel.predicti'
    b'on.ModelSpecR\tmodelSpec\x1aY\n\x0cOutputsEntry\x12'
    b'\x10\n\x03key\x18\x01 \x01(\tR\x03key\x123\n\x05value\x18\x02 \x01(\x0b2\x1d.windt'
    b'unnel.prediction.TensorR\x05value:\x028\x01b\x06prot'
    b'o3'
)
TensorShape = GetMessageClass(DESCRIPTOR.message_types_by_name["TensorShape"])
Tensor = GetMessageClass(DESCRIPTOR.message_types_by_name["Tensor"])
ModelSpec = GetMessageClass(DESCRIPTOR.message_types_by_name["ModelSpec"])
PredictRequest = GetMessageClass(DESCRIPTOR.message_types_by_name["PredictRequest"])
PredictResponse = GetMessageClass(DESCRIPTOR.message_types_by_name["PredictResponse"])
