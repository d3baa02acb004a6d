"""The scoring image as an Azure IoT Edge module: messages in, predictions out, and a direct method for one answer.

Input ``amlInput``, output ``amlOutput`` and the property ``AzureMLResponse`` are those of Azure ML's edge containers.
"""
